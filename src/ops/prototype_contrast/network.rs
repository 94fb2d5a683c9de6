//! [`Network`]: sorts by exchanges that do not depend on what is sorted, and therefore many lists at once.

/// Batcher's merge exchange (Knuth, The Art of Computer Programming, volume 3, section 5.2.2, algorithm M).
#[derive(Debug)]
pub(super) struct Network {
    len: usize,
    exchanges: Vec<[u32; 2]>,
}

impl Network {
    /// For lists of `len` elements.
    pub(super) fn new(len: usize) -> Self {
        let mut exchanges = Vec::new();
        let widest = len.next_power_of_two() / 2;
        let mut width = widest;
        while width > 0 {
            let (mut merged, mut remainder, mut distance) = (widest, 0, width);
            loop {
                let pairs = (0..len.saturating_sub(distance)).filter(|i| i & width == remainder);
                exchanges.extend(pairs.map(|i| [i as u32, (i + distance) as u32]));
                if merged == width {
                    break;
                }
                distance = merged - width;
                merged /= 2;
                remainder = width;
            }
            width /= 2;
        }
        Self { len, exchanges }
    }

    /// Whether to sort all costs less than to put every element in its place among the first `count` found so far.
    pub(super) fn is_cheaper(&self, count: usize) -> bool {
        let (growing, full) = (count.min(self.len), self.len.saturating_sub(count));
        // An exchange writes two elements, a step to a place one.
        2 * self.exchanges.len() < growing * (growing + 1) / 2 + full * count
    }

    /// Pairs of positions, of which the first is to get the element that comes first.
    pub(super) fn exchanges(&self) -> &[[u32; 2]] {
        &self.exchanges
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn all_lists_of_zeros_and_ones_are_sorted() {
        // By the zero-one principle a network that sorts these sorts everything.
        for len in 0..=12 {
            let network = Network::new(len);
            for bits in 0..1u32 << len {
                let mut list: Vec<u32> = (0..len).map(|i| bits >> i & 1).collect();
                for &[before, after] in network.exchanges() {
                    let (a, b) = (list[before as usize], list[after as usize]);
                    list[before as usize] = a.max(b);
                    list[after as usize] = a.min(b);
                }
                assert!(list.is_sorted_by(|a, b| a >= b), "{len} {bits:b}: {list:?}");
            }
        }
    }

    #[test]
    fn few_of_many_are_inserted_and_most_of_many_sorted() {
        assert!(!Network::new(81).is_cheaper(3));
        assert!(Network::new(81).is_cheaper(49));
    }
}
