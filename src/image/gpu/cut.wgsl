// Cuts faces out of pictures as `warp` does on the CPU, and measures their detail as `Detail::of` does.

// Side of a cut, its planes (1 grey, 3 blue, green, red), and what its values are normalised with.
override SIZE: u32;
override PLANES: u32;
override MEAN: f32;
override STD: f32;

// A table of regions, then the bytes of the pictures.
@group(0) @binding(0) var<storage, read> input: array<u32>;
// (face, plane, row, column).
@group(0) @binding(1) var<storage, read_write> batch: array<f32>;
// (face, 2): variance, and mean square of the Laplacian.
@group(0) @binding(2) var<storage, read_write> details: array<f32>;

// As in `gpu.rs`.
const WORDS: u32 = 12u;
const YUYV: u32 = 0u;
const NV12: u32 = 1u;
const RGB: u32 = 2u;
const BGR: u32 = 3u;
const GREY: u32 = 4u;

struct Region {
    // First byte of the picture, its format, and its width and height in pixels.
    at: u32,
    format: u32,
    width: u32,
    height: u32,
    // Every so many pixels of a row, and rows, make the picture that is cut from.
    step: u32,
    // Samples a side of each pixel of the cut.
    taps: u32,
    // x = a u - b v + tx, y = b u + a v + ty.
    a: f32,
    b: f32,
    tx: f32,
    ty: f32,
}

fn region(face: u32) -> Region {
    let at = face * WORDS;
    return Region(
        input[at], input[at + 1u], input[at + 2u], input[at + 3u], input[at + 4u], input[at + 5u],
        bitcast<f32>(input[at + 6u]), bitcast<f32>(input[at + 7u]), bitcast<f32>(input[at + 8u]), bitcast<f32>(input[at + 9u]),
    );
}

fn byte(at: u32) -> u32 {
    return (input[at >> 2u] >> ((at & 3u) << 3u)) & 255u;
}

fn rounded(value: i32) -> f32 {
    return f32(clamp((value + 32768) >> 16u, 0, 255));
}

// As `rgb_from_yuv`.
fn rgb_from_yuv(luma: u32, cb: u32, cr: u32) -> vec3<f32> {
    let y = 76309 * (i32(luma) - 16);
    let u = i32(cb) - 128;
    let v = i32(cr) - 128;
    return vec3(rounded(y + 104597 * v), rounded(y - 25675 * u - 53279 * v), rounded(y + 132201 * u));
}

// A pixel, or the nearest one of the picture.
fn pixel(r: Region, column: i32, row: i32) -> vec3<f32> {
    let x = u32(clamp(column, 0, i32(r.width / r.step) - 1)) * r.step;
    let y = u32(clamp(row, 0, i32(r.height / r.step) - 1)) * r.step;
    let n = y * r.width + x;
    switch r.format {
        case YUYV: {
            let pair = r.at + (n & ~1u) * 2u;
            return rgb_from_yuv(byte(pair + (x & 1u) * 2u), byte(pair + 1u), byte(pair + 3u));
        }
        case NV12: {
            let chroma = r.at + r.width * r.height + y / 2u * r.width + (x & ~1u);
            return rgb_from_yuv(byte(r.at + n), byte(chroma), byte(chroma + 1u));
        }
        case RGB, BGR: {
            let at = r.at + n * 3u;
            let colour = vec3(f32(byte(at)), f32(byte(at + 1u)), f32(byte(at + 2u)));
            return select(colour.zyx, colour, r.format == RGB);
        }
        default: {
            return vec3(f32(byte(r.at + n)));
        }
    }
}

fn sample(r: Region, x: f32, y: f32) -> vec3<f32> {
    let left = floor(x);
    let top = floor(y);
    // Weights of eight bits, as on the CPU.
    let share = floor(vec2(x - left, y - top) * 256.0) / 256.0;
    let column = i32(left);
    let row = i32(top);
    let above = mix(pixel(r, column, row), pixel(r, column + 1, row), share.x);
    let below = mix(pixel(r, column, row + 1), pixel(r, column + 1, row + 1), share.x);
    return mix(above, below, share.y);
}

@compute @workgroup_size(8, 8)
fn cut(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= SIZE || id.y >= SIZE) {
        return;
    }
    let r = region(id.z);
    var sum = vec3(0.0);
    for (var down = 0u; down < r.taps; down++) {
        let v = f32(id.y) + (f32(down) + 0.5) / f32(r.taps) - 0.5;
        for (var across = 0u; across < r.taps; across++) {
            let u = f32(id.x) + (f32(across) + 0.5) / f32(r.taps) - 0.5;
            sum += sample(r, r.a * u - r.b * v + r.tx, r.b * u + r.a * v + r.ty);
        }
    }
    let colour = sum / f32(r.taps * r.taps);
    let plane = SIZE * SIZE;
    let at = id.z * PLANES * plane + id.y * SIZE + id.x;
    if (PLANES == 1u) {
        batch[at] = (dot(colour, vec3(0.299, 0.587, 0.114)) - MEAN) / STD;
    } else {
        batch[at] = (colour.z - MEAN) / STD;
        batch[at + plane] = (colour.y - MEAN) / STD;
        batch[at + 2u * plane] = (colour.x - MEAN) / STD;
    }
}

const LANES: u32 = 64u;
var<workgroup> sums: array<vec2<f32>, LANES>;

// The sum of what every lane brings along.
fn together(lane: u32, value: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    sums[lane] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            sums[lane] += sums[lane + half];
        }
    }
    workgroupBarrier();
    return sums[0];
}

// One workgroup a face, on its first plane.
@compute @workgroup_size(LANES)
fn detail(@builtin(workgroup_id) face: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let pixels = SIZE * SIZE;
    let first = face.x * PLANES * pixels;
    var own = vec2(0.0);
    for (var n = lane; n < pixels; n += LANES) {
        own.x += batch[first + n];
    }
    let mean = together(lane, own).x / f32(pixels);
    own = vec2(0.0);
    for (var n = lane; n < pixels; n += LANES) {
        let value = batch[first + n];
        own.x += (value - mean) * (value - mean);
        let row = n / SIZE;
        let column = n % SIZE;
        if (row > 0u && column > 0u && row + 1u < SIZE && column + 1u < SIZE) {
            let at = first + n;
            let laplacian = batch[at - 1u] + batch[at + 1u] + batch[at - SIZE] + batch[at + SIZE] - 4.0 * value;
            own.y += laplacian * laplacian;
        }
    }
    let all = together(lane, own) / f32(pixels);
    if (lane == 0u) {
        details[face.x * 2u] = all.x;
        details[face.x * 2u + 1u] = all.y;
    }
}
