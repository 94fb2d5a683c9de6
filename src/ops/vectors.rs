//! Vectors of the processor at hand, for code written once over float32 and float64.

use pulp::{Arch, Simd, WithSimd};

/// A number that vectors are made of.
pub(super) trait Vectors: Copy + 'static {
    /// So many of them as fit a register.
    type Vector<S: Simd>: Copy;

    /// The same number in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;

    /// `a + b`.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// `a * b`.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// `a * b + c`, rounded once.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;

    /// `value`, but 0 where `test` is at most 0.
    fn gate<S: Simd>(simd: S, test: Self::Vector<S>, value: Self::Vector<S>) -> Self::Vector<S>;

    /// The whole vectors of a slice; of any alignment.
    fn vectors<S: Simd>(values: &[Self]) -> &[Self::Vector<S>];

    /// The whole vectors of a slice, to be written.
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [Self::Vector<S>];

    /// Numbers in a vector.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }
}

macro_rules! vectors {
    ($number:ty, $vector:ident, $splat:ident, $add:ident, $mul:ident, $mul_add:ident, $at_most:ident, $select:ident,
     $vectors:ident, $vectors_mut:ident) => {
        impl Vectors for $number {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S> {
                simd.$splat(value)
            }

            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S> {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S> {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: Self::Vector<S>,
                b: Self::Vector<S>,
                c: Self::Vector<S>,
            ) -> Self::Vector<S> {
                simd.$mul_add(a, b, c)
            }

            #[inline(always)]
            fn gate<S: Simd>(simd: S, test: Self::Vector<S>, value: Self::Vector<S>) -> Self::Vector<S> {
                let zero = simd.$splat(0.0);
                simd.$select(simd.$at_most(test, zero), zero, value)
            }

            #[inline(always)]
            fn vectors<S: Simd>(values: &[Self]) -> &[Self::Vector<S>] {
                S::$vectors(values).0
            }

            #[inline(always)]
            fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [Self::Vector<S>] {
                S::$vectors_mut(values).0
            }
        }
    };
}

vectors!(
    f32,
    f32s,
    splat_f32s,
    add_f32s,
    mul_f32s,
    mul_add_f32s,
    less_than_or_equal_f32s,
    select_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
vectors!(
    f64,
    f64s,
    splat_f64s,
    add_f64s,
    mul_f64s,
    mul_add_f64s,
    less_than_or_equal_f64s,
    select_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);

/// What a processor has for numbers of a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    /// Vectors it holds at a time.
    pub(super) count: usize,
    /// Numbers in each.
    pub(super) lanes: usize,
}

impl Registers {
    /// Of this processor.
    pub(super) fn of<T: Vectors>() -> Self {
        struct Query<T>(std::marker::PhantomData<T>);

        impl<T: Vectors> WithSimd for Query<T> {
            type Output = Registers;

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Registers {
                Registers { count: S::REGISTER_COUNT, lanes: T::lanes::<S>() }
            }
        }

        Arch::new().dispatch(Query::<T>(std::marker::PhantomData))
    }
}
