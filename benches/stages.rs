//! Every stage alone, by criterion; `vultus bench stages` measures the same without it.
//!
//! ```text
//! cargo bench --bench stages -- [FILTER] [--save-baseline NAME | --baseline NAME]
//! ```

#![allow(clippy::expect_used, reason = "this is a measurement")]

use criterion::{Criterion, criterion_group, criterion_main};
use vultus::bench::input::Input;
use vultus::bench::stages::all;
use vultus::capture::recording::Recording;
use vultus::config::Config;
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;

fn stages(criterion: &mut Criterion) {
    let config = Config::default();
    let input = Input::read(Recording::bundled().expect("the built-in take"), None, || {}).expect("it can be read");
    let models = Models::load(None).expect("the built-in models");
    let runtime = Runtime::start(config.inference.runtime).expect("a runtime");
    for mut workload in all(&input, &config, &models, &runtime).expect("the stages") {
        let mut group = criterion.benchmark_group(workload.stage);
        let kind = workload.kind.clone();
        group.bench_function(kind, |bencher| bencher.iter_custom(|times| workload.repeat(times).expect("it works")));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
