//! All faces of all views of a set, cut out on the GPU in one dispatch: from the camera's bytes to the encoder's batch.
//!
//! ```text
//! views' pictures ─► staging (two, in turn) ─► input ─► cut ─► batch, the encoder's own where it is on this GPU
//!                                                        └─► detail ─► answers (two, in turn) ─► sharpness, times
//! ```
//!
//! All buffers and bind groups are made once and grow with the cameras' pictures. A set is one submission, and whoever
//! reads what comes of it waits once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferDescriptor,
    BufferUsages, BufferViewMut, CommandEncoderDescriptor, ComputePassDescriptor, ComputePassTimestampWrites,
    ComputePipeline, ComputePipelineDescriptor, MapMode, PipelineCompilationOptions, QuerySet, QuerySetDescriptor,
    QueryType, ShaderModuleDescriptor, ShaderSource,
};

use super::Image;
use super::decode::{DecodeError, raw_picture};
use super::detail::Detail;
use super::warp::{Layout, Similarity, taps};
use crate::frame::{Frame, PixelFormat};
use crate::gpu::{Gpu, GpuError, Room};

/// Words of a region in the table that the shader reads.
const WORDS: usize = 12;
const REGION: u64 = (WORDS * size_of::<u32>()) as u64;
/// Where the GPU's two times lie in the answers, and then two values a face.
const TIMES: u64 = 16;
const DETAIL: u64 = 8;
/// Buffers grow to at least so much.
const SMALLEST: u64 = 1 << 20;
/// As in the shader.
const TILE: u32 = 8;

/// A view's picture as the shader reads it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    bytes: &'a [u8],
    format: PixelFormat,
    width: u32,
    height: u32,
    /// Every so many pixels of a row, and rows, make the picture that is cut from.
    step: u32,
}

impl<'a> Picture<'a> {
    /// The picture of `frame`, which was decoded to `image`: the camera's own bytes where they are raw, and what became of
    /// them where they are JPEG.
    ///
    /// # Errors
    /// Those of [`raw_picture`].
    pub fn of(frame: &'a Frame, image: &'a Image) -> Result<Self, DecodeError> {
        let (width, height) = (frame.width, frame.height);
        if frame.format == PixelFormat::Mjpeg {
            let (width, height) = (image.width as u32, image.height as u32);
            return Ok(Self { bytes: &image.rgb, format: PixelFormat::Rgb, width, height, step: 1 });
        }
        let bytes = raw_picture(&frame.bytes, frame.format, width, height)?;
        Ok(Self { bytes, format: frame.format, width, height, step: image.scale.recip().round() as u32 })
    }

    /// Its bytes, filled up to whole words.
    fn size(&self) -> u64 {
        (self.bytes.len() as u64).next_multiple_of(8)
    }
}

/// Cuts faces out.
pub struct Cutter {
    gpu: Gpu,
    size: usize,
    /// Of one cut.
    values: usize,
    cut: ComputePipeline,
    detail: ComputePipeline,
    /// What the GPU's clock said before and after, if it tells.
    times: Option<(QuerySet, Buffer)>,
    buffers: Buffers,
    /// The set that is being put together.
    set: Set,
}

/// What grows with the pictures and the faces.
struct Buffers {
    /// Bytes and faces that they hold.
    room: (u64, usize),
    input: Buffer,
    /// The batch of those whose encoder is elsewhere.
    batch: Room,
    details: Buffer,
    turns: [Turn; 2],
    /// One a batch that was written to.
    groups: Vec<(Room, BindGroup)>,
}

/// One of two that are used in turn: the one is filled while the GPU still has the other.
struct Turn {
    staging: Shared,
    answers: Shared,
}

/// A buffer that is either the GPU's or mapped.
struct Shared {
    buffer: Buffer,
    is_mapped: Arc<AtomicBool>,
}

/// What is known of a set before it is cut.
#[derive(Default)]
struct Set {
    turn: usize,
    view: Option<BufferViewMut>,
    /// Where the next picture goes.
    end: u64,
    /// First byte of the present picture, and how it is read.
    picture: [u32; 5],
    faces: usize,
    /// Of those that were cut last.
    cut: Option<Waiting>,
}

/// What a submission left behind.
#[derive(Clone, Copy)]
struct Waiting {
    turn: usize,
    faces: usize,
    has_batch: bool,
}

impl Shared {
    fn new(gpu: &Gpu, label: &'static str, size: u64, usage: BufferUsages, is_mapped: bool) -> Self {
        let buffer = gpu.device.create_buffer(&BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: is_mapped,
        });
        Self { buffer, is_mapped: Arc::new(AtomicBool::new(is_mapped)) }
    }

    /// Gives it to the GPU.
    fn hand_over(&self) {
        self.buffer.unmap();
        self.is_mapped.store(false, Ordering::Release);
    }

    /// Has it mapped as soon as the GPU is done with it.
    fn ask_back(&self, mode: MapMode) {
        let is_mapped = self.is_mapped.clone();
        self.buffer.map_async(mode, .., move |outcome| is_mapped.store(outcome.is_ok(), Ordering::Release));
    }

    /// Waits until it is mapped, if it is not.
    fn wait(&self, gpu: &Gpu) -> Result<(), GpuError> {
        gpu.look();
        if !self.is_mapped.load(Ordering::Acquire) {
            gpu.wait()?;
        }
        if self.is_mapped.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(gpu.failed("a buffer could not be mapped".to_owned()))
    }
}

impl Buffers {
    fn new(gpu: &Gpu, bytes: u64, faces: usize, values: usize) -> Result<Self, GpuError> {
        let batch_size = (faces * values * size_of::<f32>()) as u64;
        gpu.has_room_for(bytes.max(batch_size))?;
        let buffer = |label, size, usage| {
            gpu.device.create_buffer(&BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
        };
        let answers = TIMES + DETAIL * faces as u64 + batch_size;
        let turn = || Turn {
            staging: Shared::new(gpu, "staging", bytes, BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true),
            answers: Shared::new(gpu, "answers", answers, BufferUsages::MAP_READ | BufferUsages::COPY_DST, false),
        };
        let computed = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let made = Self {
            room: (bytes, faces),
            input: buffer("input", bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST),
            batch: Room { buffer: buffer("batch", batch_size, computed), offset: 0, size: batch_size },
            details: buffer("details", DETAIL * faces as u64, computed),
            turns: [turn(), turn()],
            groups: Vec::new(),
        };
        gpu.check()?;
        Ok(made)
    }
}

impl Cutter {
    /// One that makes square cuts of `size` pixels for an encoder that wants this `layout`.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub fn new(gpu: &Gpu, size: usize, layout: Layout) -> Result<Self, GpuError> {
        let shader = gpu.device.create_shader_module(ShaderModuleDescriptor {
            label: Some("cut"),
            source: ShaderSource::Wgsl(include_str!("gpu/cut.wgsl").into()),
        });
        let constants = [
            ("SIZE", size as f64),
            ("PLANES", layout.planes() as f64),
            ("MEAN", f64::from(layout.mean)),
            ("STD", f64::from(layout.std)),
        ];
        let bindings = [true, false, false].into_iter().zip(0..);
        let entries: Vec<wgpu::BindGroupLayoutEntry> = bindings
            .map(|(read_only, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let group = gpu
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("cut"), entries: &entries });
        let layouts = wgpu::PipelineLayoutDescriptor { bind_group_layouts: &[Some(&group)], ..Default::default() };
        let layouts = gpu.device.create_pipeline_layout(&layouts);
        let pipeline = |entry: &str| {
            gpu.device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(entry),
                layout: Some(&layouts),
                module: &shader,
                entry_point: Some(entry),
                compilation_options: PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache: None,
            })
        };
        let (cut, detail) = (pipeline("cut"), pipeline("detail"));
        let times = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY).then(|| {
            let set =
                gpu.device.create_query_set(&QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count: 2 });
            let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
            let buffer = BufferDescriptor { label: Some("times"), size: TIMES, usage, mapped_at_creation: false };
            (set, gpu.device.create_buffer(&buffer))
        });
        let values = layout.planes() * size * size;
        let buffers = Buffers::new(gpu, SMALLEST, 1, values)?;
        Ok(Self { gpu: gpu.clone(), size, values, cut, detail, times, buffers, set: Set::default() })
    }

    /// Begins a set of so many `faces`, which are cut from `pictures`; then each picture is put in, and behind it the faces
    /// in it.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub fn begin<'a>(&mut self, faces: usize, pictures: impl Iterator<Item = Picture<'a>>) -> Result<(), GpuError> {
        let table = REGION * faces as u64;
        let bytes = table + pictures.map(|picture| picture.size()).sum::<u64>();
        let (room, places) = self.buffers.room;
        self.set.view = None;
        if bytes > room || faces > places {
            let bytes = if bytes > room { bytes.next_power_of_two() } else { room };
            let faces = if faces > places { faces.next_power_of_two() } else { places };
            self.buffers = Buffers::new(&self.gpu, bytes, faces, self.values)?;
        }
        let turn = 1 - self.set.turn;
        let staging = &self.buffers.turns[turn].staging;
        staging.wait(&self.gpu)?;
        let view = staging.buffer.get_mapped_range_mut(..).map_err(|error| self.gpu.failed(error.to_string()))?;
        self.set = Set { turn, view: Some(view), end: table, ..Set::default() };
        Ok(())
    }

    /// Puts a view's picture in.
    pub fn picture(&mut self, picture: Picture<'_>) {
        let Set { view: Some(view), end, picture: present, .. } = &mut self.set else { return };
        let format = match picture.format {
            PixelFormat::Yuyv => 0,
            PixelFormat::Nv12 => 1,
            PixelFormat::Rgb | PixelFormat::Mjpeg => 2,
            PixelFormat::Bgr => 3,
            PixelFormat::Gray => 4,
        };
        view.slice(*end as usize..*end as usize + picture.bytes.len()).copy_from_slice(picture.bytes);
        *present = [*end as u32, format, picture.width, picture.height, picture.step];
        *end += picture.size();
    }

    /// A face in the picture that was put in last; `picture_from_cut` is of that picture as it was decoded.
    pub fn face(&mut self, picture_from_cut: Similarity) {
        let Set { view: Some(view), picture: [at, format, width, height, step], faces, .. } = &mut self.set else {
            return;
        };
        let Similarity { a, b, tx, ty } = picture_from_cut;
        let [a, b, tx, ty] = [a, b, tx, ty].map(f32::to_bits);
        let taps = taps(picture_from_cut.scale()) as u32;
        let words: [u32; WORDS] = [*at, *format, *width, *height, *step, taps, a, b, tx, ty, 0, 0];
        let from = *faces * REGION as usize;
        view.slice(from..from + REGION as usize).copy_from_slice(bytemuck::cast_slice(&words));
        *faces += 1;
    }

    /// Cuts the faces into `room`, or into a batch of its own that [`Cutter::finish`] reads back. There must be some.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub fn step(&mut self, room: Option<&Room>) -> Result<(), GpuError> {
        self.set.view = None;
        let Set { turn, end, faces, .. } = self.set;
        let batch_size = (faces * self.values * size_of::<f32>()) as u64;
        let (has_batch, room) = (room.is_none(), room.unwrap_or(&self.buffers.batch).clone());
        let group = self.group(&room);
        let Buffers { input, details, turns, groups, .. } = &self.buffers;
        let Turn { staging, answers } = &turns[turn];
        staging.hand_over();
        let mut encoder = self.gpu.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&staging.buffer, 0, input, 0, end);
        let timestamp_writes = self.times.as_ref().map(|(query_set, _)| ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor { label: Some("cut"), timestamp_writes });
        pass.set_bind_group(0, &groups[group].1, &[]);
        let tiles = (self.size as u32).div_ceil(TILE);
        pass.set_pipeline(&self.cut);
        pass.dispatch_workgroups(tiles, tiles, faces as u32);
        pass.set_pipeline(&self.detail);
        pass.dispatch_workgroups(faces as u32, 1, 1);
        drop(pass);
        if let Some((set, resolved)) = &self.times {
            encoder.resolve_query_set(set, 0..2, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, &answers.buffer, 0, TIMES);
        }
        encoder.copy_buffer_to_buffer(details, 0, &answers.buffer, TIMES, DETAIL * faces as u64);
        let mut down = TIMES + DETAIL * faces as u64;
        if has_batch {
            encoder.copy_buffer_to_buffer(&room.buffer, 0, &answers.buffer, down, batch_size);
            down += batch_size;
        }
        self.gpu.queue.submit([encoder.finish()]);
        staging.ask_back(MapMode::Write);
        answers.ask_back(MapMode::Read);
        self.gpu.copies(end, down);
        self.set.cut = Some(Waiting { turn, faces, has_batch });
        self.gpu.check()
    }

    /// Which bind group writes into `room`.
    fn group(&mut self, room: &Room) -> usize {
        let known = self.buffers.groups.iter().position(|(known, _)| known == room);
        known.unwrap_or_else(|| {
            let Buffers { input, details, groups, .. } = &mut self.buffers;
            let batch =
                BufferBinding { buffer: &room.buffer, offset: room.offset, size: std::num::NonZeroU64::new(room.size) };
            let resources = [input.as_entire_binding(), BindingResource::Buffer(batch), details.as_entire_binding()];
            let entries: Vec<BindGroupEntry<'_>> = resources
                .into_iter()
                .zip(0..)
                .map(|(resource, binding)| BindGroupEntry { binding, resource })
                .collect();
            let layout = &self.cut.get_bind_group_layout(0);
            let group = self.gpu.device.create_bind_group(&BindGroupDescriptor {
                label: Some("cut"),
                layout,
                entries: &entries,
            });
            groups.push((room.clone(), group));
            groups.len() - 1
        })
    }

    /// Waits until the faces are cut, unless somebody has done so: puts the detail of each into `details`, and adds their
    /// pixels to `cuts` if they were cut into a batch of its own. Gives how long the GPU took for it, if its clock tells.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub fn finish(&mut self, details: &mut Vec<Detail>, cuts: &mut Vec<f32>) -> Result<Option<Duration>, GpuError> {
        details.clear();
        let Some(Waiting { turn, faces, has_batch }) = self.set.cut.take() else { return Ok(None) };
        let answers = &self.buffers.turns[turn].answers;
        answers.wait(&self.gpu)?;
        let mapped = answers.buffer.get_mapped_range(..).map_err(|error| self.gpu.failed(error.to_string()))?;
        let (times, rest) = mapped.split_at(TIMES as usize);
        let (measured, rest) = rest.split_at(faces * DETAIL as usize);
        let measured: &[[f32; 2]] = bytemuck::cast_slice(measured);
        details.extend(measured.iter().map(|&[variance, laplacian]| Detail { variance, laplacian }));
        if has_batch {
            cuts.extend_from_slice(bytemuck::cast_slice(&rest[..faces * self.values * size_of::<f32>()]));
        }
        let [begun, ended] = *bytemuck::from_bytes::<[u64; 2]>(times);
        let took = self.times.as_ref().map(|_| {
            let ns = ended.saturating_sub(begun) as f64 * f64::from(self.gpu.queue.get_timestamp_period());
            Duration::from_nanos(ns as u64)
        });
        drop(mapped);
        answers.hand_over();
        Ok(took)
    }
}

#[cfg(test)]
mod tests;
