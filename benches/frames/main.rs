//! What the box does with a picture of 1280x720, beside libjpeg-turbo doing the
//! same, in one run on one core: `cargo bench -p pinhole-benches`.
//!
//! The works take turns, many times, so that whatever else the machine does
//! falls on all of them; of each the median counts.

mod turbojpeg;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use pinhole::camera::{
    encode::{Encoder, Planes, encode},
    pixels::{Layout, Matrix, Packing, Range},
};
use pinhole_link::jpeg::{Comments, check, repair};

use turbojpeg::Turbo;

const WIDTH: u16 = 1280;
const HEIGHT: u16 = 720;
const QUALITY: u8 = 80;
const ROUNDS: usize = 300;

fn main() {
    // `cargo bench` and `cargo test --benches` pass options of a harness that this is not.
    let scene = scene();
    let yuyv = interleaved(&scene);
    let layout = |range| Layout {
        packing: Packing::Yuyv,
        width: WIDTH,
        height: HEIGHT,
        stride: 2 * usize::from(WIDTH),
        range,
        matrix: Matrix::Bt601,
    };
    let jpeg = encode(&scene, QUALITY).expect("a picture is encoded");
    let bare = without_tables(&jpeg);
    println!(
        "{WIDTH}x{HEIGHT}, quality {QUALITY}, 4:2:2, JPEGs of {} KB, median of {ROUNDS} rounds",
        jpeg.len() / 1000
    );
    let (mut ours, mut theirs) = (Encoder::default(), Turbo::new());
    // The same work: the same data but for headers.
    let difference = theirs.encode(&scene, QUALITY).len().abs_diff(jpeg.len());
    assert!(difference < 1000, "JPEGs differ by {difference} bytes");
    let mut planes = [Planes::default(), Planes::default(), Planes::default()];
    let [full, limited, before_turbo] = &mut planes;
    let mut whole = Encoder::default();
    let times = medians([
        &mut || {
            black_box(theirs.encode(&scene, QUALITY).len());
        },
        &mut || {
            black_box(ours.encode(&scene, QUALITY)).expect("a picture is encoded");
        },
        &mut || {
            let split = layout(Range::Full).split(black_box(&yuyv), full);
            split.expect("a frame is split");
        },
        &mut || {
            let split = layout(Range::Limited).split(black_box(&yuyv), limited);
            split.expect("a frame is split");
        },
        &mut || {
            let split = layout(Range::Limited).split(black_box(&yuyv), before_turbo);
            split.expect("a frame is split");
            black_box(whole.encode(before_turbo, QUALITY)).expect("a picture is encoded");
        },
        &mut || {
            black_box(check(black_box(&jpeg))).expect("a JPEG is whole");
        },
        &mut || {
            let repaired = repair(black_box(&jpeg), Comments::Drop).expect("a JPEG is whole");
            black_box(repaired.0.into_owned());
        },
        &mut || {
            let repaired = repair(black_box(&bare), Comments::Drop).expect("a JPEG is put right");
            black_box(repaired.0.into_owned());
        },
    ]);
    let [turbo, encode, full, limited, sensor, check, repair, tables] = times;
    let row = |work: &str, time: Duration, ratio: String| {
        println!("{work:<58} {:>8.3} ms   {ratio}", 1e3 * time.as_secs_f64());
    };
    let over = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    row(
        "libjpeg-turbo, tjCompressFromYUVPlanes",
        turbo,
        "1.00".to_owned(),
    );
    let speed = format!(
        "{:.2} x its speed (target: 1.0 or more)",
        over(turbo, encode)
    );
    row("pinhole, from the same planes", encode, speed);
    let share = |time| format!("{:.2} % of the encode", 100.0 * over(time, encode));
    row("YUYV to planes, full range", full, share(full));
    row("YUYV to planes, limited range", limited, share(limited));
    let speed = format!(
        "{:.2} x libjpeg-turbo's speed from planes",
        over(turbo, sensor)
    );
    row("pinhole, from YUYV of limited range", sensor, speed);
    row("a JPEG checked", check, share(check));
    let target = format!("{} (target: less than 2)", share(repair));
    row("a webcam's JPEG checked and copied", repair, target);
    let target = format!("{} (target: less than 2)", share(tables));
    row("a webcam's JPEG without tables put right", tables, target);
}

/// The median time of each work.
fn medians<const WORKS: usize>(mut works: [&mut dyn FnMut(); WORKS]) -> [Duration; WORKS] {
    let mut times = [const { Vec::new() }; WORKS];
    for _ in 0..ROUNDS {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let start = Instant::now();
            work();
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// A picture with as much detail as a room has: waves of several lengths, edges
/// and a sensor's noise.
fn scene() -> Planes {
    let mut planes = Planes::new(WIDTH, HEIGHT);
    let mut noise = 0x2545_F491_u32;
    let mut next_noise = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        (noise % 7) as f32 - 3.0
    };
    let width = usize::from(WIDTH);
    for (at, sample) in planes.y.iter_mut().enumerate() {
        let (x, y) = ((at % width) as f32, (at / width) as f32);
        let waves =
            40.0 * (x / 90.0).sin() + 30.0 * (y / 55.0).cos() + 12.0 * ((x + y) / 9.0).sin();
        let edge = if (x / 160.0) as u32 % 2 == (y / 120.0) as u32 % 2 {
            20.0
        } else {
            -20.0
        };
        *sample = (128.0 + waves + edge + next_noise()).clamp(16.0, 235.0) as u8;
    }
    let chroma_width = planes.chroma_width();
    for (at, (cb, cr)) in planes.cb.iter_mut().zip(&mut planes.cr).enumerate() {
        let (x, y) = ((at % chroma_width) as f32, (at / chroma_width) as f32);
        *cb = (128.0 + 40.0 * (x / 70.0).sin() + next_noise()).clamp(16.0, 240.0) as u8;
        *cr = (128.0 + 40.0 * (y / 60.0).cos() + next_noise()).clamp(16.0, 240.0) as u8;
    }
    planes
}

/// The planes as a webcam delivers them.
fn interleaved(planes: &Planes) -> Vec<u8> {
    let colours = planes.cb.iter().zip(&planes.cr);
    let pairs = planes.y.chunks_exact(2).zip(colours);
    pairs
        .flat_map(|(y, (cb, cr))| [y[0], *cb, y[1], *cr])
        .collect()
}

/// The JPEG without its Huffman tables, as most webcams deliver it.
fn without_tables(jpeg: &[u8]) -> Vec<u8> {
    let mut bare = jpeg.to_vec();
    while let Some(start) = bare.windows(2).position(|bytes| bytes == [0xFF, 0xC4]) {
        let length = usize::from(u16::from_be_bytes([bare[start + 2], bare[start + 3]]));
        bare.drain(start..start + 2 + length);
    }
    bare
}
