//! The moving average of a network's weights: it does better than the last ones (B. T. Polyak and A. B. Juditsky, 1992).

use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use super::Network;

/// An exponential moving average of all that a network has learnt, its running statistics among it.
#[derive(Clone, Debug)]
pub struct Average {
    network: Network,
    decay: f64,
}

impl Average {
    /// Goes on from an average that was kept, or begins with the network itself. Of each update, `decay` of the
    /// average stays.
    #[must_use]
    pub fn resume(network: &Network, decay: f64) -> Self {
        Self { network: network.valid(), decay }
    }

    /// Moves towards `network`, which has the average's parameters, after so many `steps`: the first ones move it faster,
    /// so that it forgets the random weights that it began with.
    pub fn update(&mut self, network: &Network, steps: u64) {
        let decay = self.decay.min((1.0 + steps as f64) / (10.0 + steps as f64));
        let mut found = Tensors::default();
        network.valid().visit(&mut found);
        self.network = self.network.clone().map(&mut Towards { tensors: found.0, decay });
    }

    /// The averaged network, as it is trained on or validated.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network.clone().train()
    }
}

/// A network's tensors.
#[derive(Default)]
struct Tensors(HashMap<ParamId, Box<dyn Any>>);

impl ModuleVisitor for Tensors {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, Box::new(param.val()));
    }
}

struct Towards {
    tensors: HashMap<ParamId, Box<dyn Any>>,
    decay: f64,
}

impl ModuleMapper for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let newest = self.tensors.remove(&param.id).and_then(|tensor| tensor.downcast::<Tensor<D>>().ok());
        let Some(newest) = newest else { return param };
        param.map(|average| average.mul_scalar(self.decay) + newest.mul_scalar(1.0 - self.decay))
    }
}
