//! How fast networks are trained, and where the time goes (`docs/results/training.md`).
//!
//! ```text
//! cargo bench --bench training -- [slim|resnet18] [--side N] [--batch N] [--steps N] [--threads N] [--device auto|cpu|gpu]
//! ```
//!
//! A step is a forward pass, a backward pass and AdamW, on the same random pictures every time; reading and changing
//! pictures is left out. `benches/peers/torch_training.py` does the same with PyTorch.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a measurement, and its figures are its output"
)]

mod measure;

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Int, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use measure::Process;
use vultus::config::DeviceChoice;
use vultus::network::{Architecture, Kind, Network, device};

const WARM_UP: usize = 3;

#[derive(Parser)]
struct Options {
    #[arg(value_enum, default_value = "slim")]
    kind: Name,
    #[arg(long, default_value_t = 64)]
    side: usize,
    #[arg(long, default_value_t = 64)]
    batch: usize,
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// As many as there are cores if absent.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Slim,
    Resnet18,
}

fn main() {
    // `cargo test --benches` and the like ask for nothing.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let Options { kind, side, batch, steps, threads, device, .. } = Options::parse();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let kind = match kind {
        Name::Slim => Kind::Slim,
        Name::Resnet18 => Kind::Resnet18,
    };
    let device = device::open(device).expect("a device");
    let mut network = Network::new(&Architecture { kind, side, ..Architecture::default() }, 1, &device);
    let mut optimizer = AdamWConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let values: Vec<f32> = (0..batch * side * side).map(|i| ((i * i % 7919) as f32 * 0.37).sin()).collect();
    let pictures = Tensor::<4>::from_data(TensorData::new(values, [batch, 1, side, side]), &device);
    let classes: Vec<i64> = (0..batch as i64).map(|n| n % 7).collect();
    let classes = Tensor::<1, Int>::from_data(TensorData::new(classes, [batch]), &device);

    let (mut spent, mut cpu_s) = (Spent::default(), 0.0);
    for step in 0..WARM_UP + steps {
        if step == WARM_UP {
            (spent, cpu_s) = (Spent::default(), Process::of(std::process::id()).cpu_s());
        }
        let began = Instant::now();
        let loss = loss.forward(network.forward(pictures.clone()).logits, classes.clone());
        // Waits until it is there.
        let _: f32 = loss.clone().into_scalar();
        let forward = Instant::now();
        let gradients = loss.backward();
        device.sync().expect("a backward pass");
        let backward = Instant::now();
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(1e-3, network, gradients);
        device.sync().expect("a step");
        spent.forward += forward - began;
        spent.backward += backward - forward;
        spent.optimiser += backward.elapsed();
    }
    let cpu_s = Process::of(std::process::id()).cpu_s() - cpu_s;

    let network = network.valid();
    let began = Instant::now();
    for _ in 0..steps {
        let _: f32 = network.forward(pictures.clone().inner()).logits.sum().into_scalar();
    }
    let validation = began.elapsed();

    let images = (batch * steps) as f64;
    let ms = |time: Duration| time.as_secs_f64() * 1e3 / images;
    let Spent { forward, backward, optimiser } = spent;
    println!(
        "{:.1} images/s; ms an image: forward {:.3}, backward {:.3}, optimiser {:.3}; CPU {:.3}; validation {:.3}",
        images / (forward + backward + optimiser).as_secs_f64(),
        ms(forward),
        ms(backward),
        ms(optimiser),
        cpu_s * 1e3 / images,
        ms(validation)
    );
}

/// Where the time went.
#[derive(Default)]
struct Spent {
    forward: Duration,
    backward: Duration,
    optimiser: Duration,
}
