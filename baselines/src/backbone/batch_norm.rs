//! Batch normalisation, with the activation behind it.

use candle_core::{Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use candle_wsss::{Error, Result, ops};
use serde::{Deserialize, Serialize};

/// Where batch normalisation takes its statistics from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormMode {
    /// From the pretrained weights; never trained. What the released code does.
    #[default]
    Frozen,
    /// From the batch, while training. Weights are trained, and every training pass moves the running statistics, which
    /// evaluation uses. For training from nothing.
    Train,
}

/// What every batch normalisation of a trunk has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchNormSettings {
    pub(super) mode: BatchNormMode,
    /// Added to the variance, positive.
    pub(super) epsilon: f64,
    /// Share of the batch in the running statistics, `(0, 1]`.
    pub(super) momentum: f64,
}

impl BatchNormSettings {
    /// Checks the ranges of the fields `batch_norm_epsilon` and `batch_norm_momentum`.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        let Self { epsilon, momentum, .. } = *self;
        if epsilon.is_nan() || epsilon <= 0.0 {
            let reason = format!("must be positive, is {epsilon}");
            return Err(Error::config(format!("{path}.batch_norm_epsilon"), reason));
        }
        if !(momentum > 0.0 && momentum <= 1.0) {
            let reason = format!("must be above 0 and at most 1, is {momentum}");
            return Err(Error::config(format!("{path}.batch_norm_momentum"), reason));
        }
        Ok(())
    }

    /// The same for a stage that may be frozen: its statistics are the stored ones then.
    pub(super) fn frozen(self, frozen: bool) -> Self {
        if frozen { Self { mode: BatchNormMode::Frozen, ..self } } else { self }
    }
}

/// What is done with the normalised values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

const RELU6_BOUND: f64 = 6.0;

/// Batch normalisation and what follows it.
///
/// Normalising is a scale and a shift per channel, whether the statistics are the stored ones or the batch's, so both
/// modes share one fused operation.
#[derive(Clone, Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
    settings: BatchNormSettings,
    activation: Activation,
}

impl BatchNorm {
    /// The parameters are `weight`, `bias`, `running_mean` and `running_var`, one value per channel each.
    ///
    /// # Errors
    /// When the builder has one in another shape.
    pub(super) fn new(
        channels: usize,
        settings: BatchNormSettings,
        activation: Activation,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let get = |name: &str, start: f64| vb.get_with_hints(channels, name, Init::Const(start));
        let trainable = |t: Tensor| match settings.mode {
            BatchNormMode::Frozen => t.detach(),
            BatchNormMode::Train => t,
        };
        Ok(Self {
            weight: trainable(get("weight", 1.0)?),
            bias: trainable(get("bias", 0.0)?),
            // Shares the storage where the builder hands out variables, so updates reach the checkpoint.
            running_mean: Var::from_tensor(&get("running_mean", 0.0)?)?,
            running_var: Var::from_tensor(&get("running_var", 1.0)?)?,
            settings,
            activation,
        })
    }

    /// `weight * (x - mean) / sqrt(var + epsilon) + bias`, activated, over `(N, channels, h, w)`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(super) fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let [scale, shift] = self.scale_and_shift(x, training)?;
        match self.activation {
            Activation::None => ops::affine(x, &scale, &shift),
            Activation::Relu => ops::affine_relu(x, &scale, &shift),
            Activation::Relu6 => ops::clamp(&ops::affine_relu(x, &scale, &shift)?, 0.0, RELU6_BOUND),
        }
    }

    /// What normalising comes down to for `x`, `(channels)` each: for an operation that does it on its way.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(super) fn scale_and_shift(&self, x: &Tensor, training: bool) -> Result<[Tensor; 2]> {
        let (mean, var) = if training && self.settings.mode == BatchNormMode::Train {
            self.batch_statistics(x)?
        } else {
            (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor())
        };
        let scale = (&self.weight / (var + self.settings.epsilon)?.sqrt()?)?;
        let shift = (&self.bias - (mean * &scale)?)?;
        Ok([scale, shift])
    }

    // Mean and biased variance per channel, with their graph; moves the running ones, the variance unbiased.
    fn batch_statistics(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (n, channels, h, w) = x.dims4()?;
        // Innermost axis first: candle reduces it without a copy.
        let per_channel = |t: &Tensor| t.flatten(2, 3)?.mean(2)?.mean(0);
        let mean = per_channel(x)?;
        let var = per_channel(&x.broadcast_sub(&mean.reshape((1, channels, 1, 1))?)?.sqr()?)?;
        let count = (n * h * w) as f64;
        let unbiased = count / (count - 1.0).max(1.0);
        self.move_running(&self.running_mean, &mean, 1.0)?;
        self.move_running(&self.running_var, &var, unbiased)?;
        Ok((mean, var))
    }

    fn move_running(&self, running: &Var, fresh: &Tensor, factor: f64) -> Result<()> {
        let old = (running.as_detached_tensor() * (1.0 - self.settings.momentum))?;
        let fresh = (fresh.detach() * (factor * self.settings.momentum))?;
        Ok(running.set(&(old + fresh)?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_wsss::ParameterStore;
    use candle_wsss::testing::{assert_close, gradient_error, randn};

    use super::*;

    const CHANNELS: usize = 3;

    fn layer(mode: BatchNormMode, weight: &Tensor, bias: &Tensor) -> BatchNorm {
        let vb = ParameterStore::new().var_builder(0, DType::F64, &Device::Cpu);
        let settings = BatchNormSettings { mode, epsilon: 1e-5, momentum: 0.25 };
        let start = BatchNorm::new(CHANNELS, settings, Activation::Relu, &vb).unwrap();
        start.running_mean.set(&randn(8, &[CHANNELS]).unwrap()).unwrap();
        start.running_var.set(&(randn(9, &[CHANNELS]).unwrap().sqr().unwrap() + 0.5).unwrap()).unwrap();
        BatchNorm { weight: weight.clone(), bias: bias.clone(), ..start }
    }

    fn inputs() -> [Tensor; 3] {
        [randn(1, &[2, CHANNELS, 3, 2]).unwrap(), randn(2, &[CHANNELS]).unwrap(), randn(3, &[CHANNELS]).unwrap()]
    }

    fn row(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    // Mean, biased and unbiased variance of a channel, by definition.
    fn moments(x: &Tensor, channel: usize) -> (f64, f64, f64) {
        let all = row(&x.narrow(1, channel, 1).unwrap());
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let squares = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (mean, squares / all.len() as f64, squares / (all.len() - 1) as f64)
    }

    fn expected(x: &Tensor, layer: &BatchNorm, statistics: impl Fn(usize) -> (f64, f64)) -> Tensor {
        let (weight, bias) = (row(&layer.weight), row(&layer.bias));
        let maps: Vec<Tensor> = (0..CHANNELS)
            .map(|c| {
                let (mean, var) = statistics(c);
                let scale = weight[c] / (var + 1e-5).sqrt();
                x.narrow(1, c, 1).unwrap().affine(scale, bias[c] - mean * scale).unwrap().relu().unwrap()
            })
            .collect();
        Tensor::cat(&maps, 1).unwrap()
    }

    #[test]
    fn stored_statistics_unless_training_on_the_batch() {
        let [x, weight, bias] = inputs();
        for (mode, training) in
            [(BatchNormMode::Frozen, false), (BatchNormMode::Frozen, true), (BatchNormMode::Train, false)]
        {
            let layer = layer(mode, &weight, &bias);
            let (mean, var) = (row(&layer.running_mean), row(&layer.running_var));
            let want = expected(&x, &layer, |c| (mean[c], var[c]));
            assert_close("stored", &layer.forward(&x, training).unwrap(), &want, 1e-14).unwrap();
            assert_eq!((mean, var), (row(&layer.running_mean), row(&layer.running_var)));
        }
    }

    #[test]
    fn batch_statistics_normalise_and_move_the_running_ones() {
        let [x, weight, bias] = inputs();
        let layer = layer(BatchNormMode::Train, &weight, &bias);
        let (mean, var) = (row(&layer.running_mean), row(&layer.running_var));
        let got = layer.forward(&x, true).unwrap();
        let want = expected(&x, &layer, |c| (moments(&x, c).0, moments(&x, c).1));
        assert_close("batch", &got, &want, 1e-14).unwrap();
        for c in 0..CHANNELS {
            let (fresh, _, unbiased) = moments(&x, c);
            let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-14, "{got} against {want}");
            near(row(&layer.running_mean)[c], 0.75 * mean[c] + 0.25 * fresh);
            near(row(&layer.running_var)[c], 0.75 * var[c] + 0.25 * unbiased);
        }
    }

    #[test]
    fn gradients_pass_through_the_statistics() {
        let cotangent = randn(4, &[2, CHANNELS, 3, 2]).unwrap();
        for mode in [BatchNormMode::Frozen, BatchNormMode::Train] {
            let error = gradient_error(&inputs(), 20, |x| {
                Ok((layer(mode, &x[1], &x[2]).forward(&x[0], true)? * &cotangent)?.sum_all()?)
            });
            let error = error.unwrap();
            assert!(error < 1e-6, "{mode:?}: {error}");
        }
    }

    #[test]
    fn activations() {
        let [x, weight, bias] = inputs();
        let x = (x * 20.0).unwrap();
        let activated = |activation| {
            let layer = BatchNorm { activation, ..layer(BatchNormMode::Frozen, &weight, &bias) };
            row(&layer.forward(&x, false).unwrap())
        };
        let plain = activated(Activation::None);
        assert!(plain.iter().any(|v| *v < 0.0) && plain.iter().any(|v| *v > RELU6_BOUND));
        let want = |bound: f64| plain.iter().map(|v| v.clamp(0.0, bound)).collect::<Vec<_>>();
        assert_eq!(activated(Activation::Relu), want(f64::MAX));
        assert_eq!(activated(Activation::Relu6), want(RELU6_BOUND));
    }
}
