//! [`DenseCrf`]: the CRF of one image, and [`DenseCrfPlan`]: what the CRFs of images of one size share.

use candle_core::{DType, Device, Tensor};

use super::channels::{Channels, Posterior};
use super::exact::{self, PairwiseKernel, SpaceKernel};
use super::lattice::{LatticeKernel, SpatialLattice, spatial_lattice};
use super::{CrfKernel, DenseCrfConfig};
use crate::error::{Error, Result, expect_shape};
use crate::view::Pair;

/// What depends on the size of an image alone: made once, it serves any number of images.
#[derive(Clone)]
pub struct DenseCrfPlan {
    config: DenseCrfConfig,
    size: (usize, usize),
    space: SharedKernel,
}

#[derive(Clone)]
enum SharedKernel {
    Exact(SpaceKernel),
    Lattice(SpatialLattice),
}

impl std::fmt::Debug for DenseCrfPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseCrfPlan").field("config", &self.config).field("size", &self.size).finish_non_exhaustive()
    }
}

impl DenseCrfPlan {
    /// For images of `size = (h, w)`.
    ///
    /// # Errors
    /// When a constant is out of its range, or an image of that size is too large for it.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_wsss::ops::{DenseCrfConfig, DenseCrfPlan};
    ///
    /// let plan = DenseCrfPlan::new((4, 6), &DenseCrfConfig::seam_soft())?;
    /// let crf = plan.image(&Tensor::zeros((4, 6, 3), DType::U8, &Device::Cpu)?)?;
    /// assert_eq!(crf.soft(&Tensor::ones((2, 4, 6), DType::F32, &Device::Cpu)?)?.dims(), [2, 4, 6]);
    /// assert!(plan.image(&Tensor::zeros((6, 4, 3), DType::U8, &Device::Cpu)?).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(size: (usize, usize), config: &DenseCrfConfig) -> Result<Self> {
        config.validate()?;
        let space = match config.kernel {
            CrfKernel::Exact => SharedKernel::Exact(SpaceKernel::new(size, config)),
            CrfKernel::Lattice => SharedKernel::Lattice(spatial_lattice(size, config)?),
        };
        Ok(Self { config: *config, size, space })
    }

    /// The CRF of an RGB image, `(h, w, 3)` of bytes.
    ///
    /// # Errors
    /// When the image is no such tensor.
    pub fn image(&self, image: &Tensor) -> Result<DenseCrf> {
        expect_shape("crf image", image, [self.size.0.into(), self.size.1.into(), 3.into()])?;
        if image.dtype() != DType::U8 {
            return Err(Error::value("crf image", format!("must hold bytes, holds {:?}", image.dtype())));
        }
        self.bytes(&image.flatten_all()?.to_vec1::<u8>()?)
    }

    pub(super) fn bytes(&self, rgb: &[u8]) -> Result<DenseCrf> {
        let kernel = match &self.space {
            SharedKernel::Exact(space) => Kernel::Exact(PairwiseKernel::new(rgb, space)),
            SharedKernel::Lattice(space) => {
                Kernel::Lattice(LatticeKernel::new(rgb, self.size, space.clone(), &self.config)?)
            }
        };
        Ok(DenseCrf { config: self.config, size: self.size, kernel })
    }
}

enum Kernel {
    Exact(PairwiseKernel),
    Lattice(LatticeKernel),
}

/// The CRF of one image: its pairwise weights are made once and serve any number of unaries.
pub struct DenseCrf {
    config: DenseCrfConfig,
    size: (usize, usize),
    kernel: Kernel,
}

impl std::fmt::Debug for DenseCrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseCrf").field("config", &self.config).field("size", &self.size).finish_non_exhaustive()
    }
}

impl DenseCrf {
    /// The CRF of an RGB image, `(h, w, 3)` of bytes. For many images of one size, see [`DenseCrfPlan`].
    ///
    /// # Errors
    /// When the image is no such tensor, a constant is out of its range or the image is too large for it.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_wsss::ops::{DenseCrf, DenseCrfConfig};
    ///
    /// let crf = DenseCrf::new(&Tensor::zeros((4, 6, 3), DType::U8, &Device::Cpu)?, &DenseCrfConfig::hsc_labels())?;
    /// let mut labels = vec![2u32; 24];
    /// labels[9] = 0; // a lone dissenter in a flat image
    /// let refined = crf.refine_labels(&Tensor::from_vec(labels, (4, 6), &Device::Cpu)?, 3)?;
    /// assert_eq!(refined.flatten_all()?.to_vec1::<u32>()?, vec![2; 24]);
    ///
    /// let float = Tensor::zeros((4, 6, 3), DType::F32, &Device::Cpu)?;
    /// assert!(DenseCrf::new(&float, &DenseCrfConfig::hsc_labels()).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(image: &Tensor, config: &DenseCrfConfig) -> Result<Self> {
        config.validate()?;
        expect_shape("crf image", image, ["h".into(), "w".into(), 3.into()])?;
        let (height, width, _) = image.dims3()?;
        DenseCrfPlan::new((height, width), config)?.image(image)
    }

    /// The posterior of class probabilities, `(L, h, w)`, which need not sum to 1. Float32, on the host.
    ///
    /// Classes with equal maps, as those the image does not have, cost no more than one of them.
    ///
    /// # Errors
    /// When the shape does not fit the image, or there is no label.
    pub fn soft(&self, probabilities: &Tensor) -> Result<Tensor> {
        self.solve_soft(probabilities)?.map(self.size)
    }

    /// The most probable label of every pixel, `(h, w)` of `u32`, given class probabilities as in [`Self::soft`]. Of
    /// equals the lowest.
    ///
    /// # Errors
    /// As [`Self::soft`].
    pub fn refine_soft(&self, probabilities: &Tensor) -> Result<Tensor> {
        Ok(Tensor::from_vec(self.solve_soft(probabilities)?.winners(), self.size, &Device::Cpu)?)
    }

    /// The posterior of hard labels, `(h, w)` of `u32`: `(num_labels, h, w)`, float32, on the host.
    ///
    /// Labels that do not occur cost no more than one of them.
    ///
    /// # Errors
    /// When the shape does not fit the image, or a label is none of the `num_labels`.
    pub fn label_posterior(&self, labels: &Tensor, num_labels: usize) -> Result<Tensor> {
        self.solve_labels(&self.read_labels(labels)?, num_labels)?.map(self.size)
    }

    /// The most probable label of every pixel, `(h, w)` of `u32`, given hard labels. Of equals the lowest.
    ///
    /// # Errors
    /// As [`Self::label_posterior`].
    pub fn refine_labels(&self, labels: &Tensor, num_labels: usize) -> Result<Tensor> {
        let refined = self.solve_labels(&self.read_labels(labels)?, num_labels)?.winners();
        Ok(Tensor::from_vec(refined, self.size, &Device::Cpu)?)
    }

    fn solve_soft(&self, probabilities: &Tensor) -> Result<Posterior> {
        let map = ["L".into(), self.size.0.into(), self.size.1.into()];
        expect_shape("crf probabilities", probabilities, map)?;
        let (floor, iterations) = (self.config.min_probability, self.config.iterations);
        Ok(match &self.kernel {
            Kernel::Exact(kernel) => {
                let channels = Channels::soft(probabilities, floor)?;
                let [beliefs] = exact::mean_field(kernel, [&channels], iterations);
                channels.read(beliefs)
            }
            Kernel::Lattice(kernel) => {
                let channels = Channels::soft(probabilities, floor)?;
                let beliefs = kernel.mean_field(&channels, iterations);
                channels.read(beliefs)
            }
        })
    }

    fn solve_labels(&self, labels: &[u32], num_labels: usize) -> Result<Posterior> {
        let (gt_prob, iterations) = (self.config.gt_prob, self.config.iterations);
        Ok(match &self.kernel {
            Kernel::Exact(kernel) => {
                let channels = Channels::hard(labels, num_labels, gt_prob)?;
                let [beliefs] = exact::mean_field(kernel, [&channels], iterations);
                channels.read(beliefs)
            }
            Kernel::Lattice(kernel) => {
                let channels = Channels::hard(labels, num_labels, gt_prob)?;
                let beliefs = kernel.mean_field(&channels, iterations);
                channels.read(beliefs)
            }
        })
    }

    /// The winners of both views, which look at the weights together where that is cheaper.
    pub(super) fn refine_pair(&self, labels: Pair<&[u32]>, num_labels: usize) -> Result<Pair<Vec<u32>>> {
        let Kernel::Exact(kernel) = &self.kernel else {
            return labels.try_map(|labels| Ok(self.solve_labels(labels, num_labels)?.winners()));
        };
        let Pair { source, target } =
            labels.try_map(|labels| Channels::hard(labels, num_labels, self.config.gt_prob))?;
        let [of_source, of_target] = exact::mean_field(kernel, [&source, &target], self.config.iterations);
        Ok(Pair::new(source.read(of_source).winners(), target.read(of_target).winners()))
    }

    fn read_labels(&self, labels: &Tensor) -> Result<Vec<u32>> {
        expect_shape("crf labels", labels, [self.size.0.into(), self.size.1.into()])?;
        Ok(labels.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?)
    }
}
