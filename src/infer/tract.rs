//! The built-in runtime: no library and no file needed.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::manifest::Model;
use super::{InferError, Session, Values};

/// tract plans a model for one input shape; the plans in use are kept.
pub(super) struct TractSession {
    name: String,
    model: InferenceModel,
    plans: Vec<([usize; 4], Arc<TypedRunnableModel>)>,
}

impl TractSession {
    pub(super) fn new(model: &Model) -> Result<Self, InferError> {
        let parse = || -> TractResult<InferenceModel> {
            let mut parsed = tract_onnx::onnx().model_for_read(&mut model.bytes())?;
            parsed.select_outputs_by_name(&model.outputs)?;
            Ok(parsed)
        };
        let parsed = parse().map_err(|error| InferError::Load {
            model: model.name.clone(),
            runtime: "tract",
            reason: format!("{error:#}"),
        })?;
        Ok(Self { name: model.name.clone(), model: parsed, plans: Vec::new() })
    }

    fn plan(&mut self, shape: [usize; 4]) -> TractResult<Arc<TypedRunnableModel>> {
        if let Some((_, plan)) = self.plans.iter().find(|(planned, _)| *planned == shape) {
            return Ok(plan.clone());
        }
        let plan = self.model.clone().with_input_fact(0, f32::fact(shape).into())?.into_optimized()?.into_runnable()?;
        self.plans.push((shape, plan.clone()));
        Ok(plan)
    }

    fn try_run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> TractResult<()> {
        let plan = self.plan(shape)?;
        let input = Tensor::from_shape(&shape, input)?;
        let results = plan.run(tvec!(input.into()))?;
        for (result, output) in results.iter().zip(outputs) {
            let view = result.to_plain_array_view::<f32>()?;
            let data = view.as_slice().ok_or_else(|| TractError::msg("an output is not contiguous"))?;
            output.clear();
            output.extend_from_slice(data);
        }
        Ok(())
    }
}

impl Session for TractSession {
    fn run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
        self.try_run(shape, input, outputs)
            .map_err(|error| InferError::Run { model: self.name.clone(), reason: format!("{error:#}") })
    }

    fn runtime(&self) -> &'static str {
        "tract"
    }

    fn device(&self) -> &'static str {
        "cpu"
    }
}
