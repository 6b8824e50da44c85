//! A box behind an uplink that becomes narrower than its webcam's JPEGs, and wide
//! again: the kernel's tunnel, through a router with a queue of 256 KB.

use std::time::{Duration, Instant};

use pinhole_rig::{
    process::Mark,
    qemu::MachineOptions,
    scene::{BoxKind, CAMERA, Scene},
    stamp,
    uplink::Uplink,
    viewer::Stream,
    webcam::WebcamOptions,
};
use serde_json::Value;

use crate::{given, options, say};

/// How often the relay is asked what the box says of its uplink; it asks the box
/// itself every 8 s.
const GLANCE: Duration = Duration::from_secs(2);

/// How long the box may take to go down, and up again, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long a rate is measured.
const WATCH: Duration = Duration::from_secs(10);

/// What the uplink is narrowed to, in parts of what the stream takes.
const NARROW: f64 = 0.15;

/// How old a picture may be beside two transmission times, at a viewer of a
/// machine that is busy with emulation.
const SLACK: Duration = Duration::from_secs(1);

/// The router's queue.
const QUEUE_BYTES: f64 = 256e3;

#[test]
#[ignore = "needs the box's image, and root for a network namespace: run scripts/test"]
fn less_is_sent_while_the_uplink_is_narrow_and_all_of_it_again_thereafter() {
    let uplink = Uplink::new().unwrap();
    let image = given("PINHOLE_IMAGE");
    let machine = MachineOptions {
        namespace: Some(uplink.machine().to_owned()),
        ..MachineOptions::virt_from_card(&image)
    };
    let camera_box = BoxKind::Virtual { image, machine };
    let mut scene = Scene::start(&options("narrow-uplink", camera_box), &say).unwrap();
    scene.wait_for_box("no webcam", Mark::default()).unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();
    let mut stream = scene.wait_for_picture().unwrap();

    let is_reduced = |uplink: &Value| uplink["is_reduced"] == true;
    watch_until(&scene, &mut stream, |uplink| !is_reduced(uplink));
    let wide = watch(&mut stream, WATCH);
    let wide_rate = wide.len() as f64 / WATCH.as_secs_f64();
    let bytes: usize = wide.iter().map(|arrival| arrival.bytes).sum();
    let stream_rate = 8.0 * bytes as f64 / WATCH.as_secs_f64();
    let rate = NARROW * stream_rate;
    println!("wide: {wide_rate:.1} pictures a second, {stream_rate:.0} bit/s");

    uplink.limit(rate as u64).unwrap();
    let is_for_the_uplink = |uplink: &Value| {
        let reason = uplink["reason"].as_str().unwrap_or_default();
        is_reduced(uplink) && reason.contains(": the uplink carries ")
    };
    let mut narrow = watch_until(&scene, &mut stream, is_for_the_uplink);
    narrow.extend(watch(&mut stream, 2 * WATCH));
    let told = status(&scene);
    println!("narrowed to {rate:.0} bit/s: {told}");
    assert!(is_reduced(&told), "{told}");
    assert!(told["frames_per_second"].as_f64() < Some(15.0), "{told}");
    require_fresh(&narrow, rate);

    uplink.lift_limit().unwrap();
    watch_until(&scene, &mut stream, |uplink| !is_reduced(uplink));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let again = watch(&mut stream, WATCH).len() as f64 / WATCH.as_secs_f64();
        let told = status(&scene);
        println!(
            "wide again: {again:.1} pictures a second: {}",
            told["reason"]
        );
        if again > 0.6 * wide_rate && told["reason"] == "as asked for" {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{again} after {wide_rate}: {told}"
        );
    }
}

/// A picture that came.
struct Arrival {
    age: Duration,
    bytes: usize,
}

/// What comes in a time.
fn watch(stream: &mut Stream, time: Duration) -> Vec<Arrival> {
    let start = Instant::now();
    let mut arrivals = Vec::new();
    while start.elapsed() < time {
        let part = stream.next_picture().unwrap();
        let taken = stamp::read_any(&part.jpeg).unwrap().time();
        arrivals.push(Arrival {
            age: part.received.duration_since(taken).unwrap_or_default(),
            bytes: part.jpeg.len(),
        });
    }
    arrivals
}

/// What comes until the box says of its uplink what is wanted.
fn watch_until(scene: &Scene, stream: &mut Stream, is_it: impl Fn(&Value) -> bool) -> Vec<Arrival> {
    let start = Instant::now();
    let mut arrivals = Vec::new();
    loop {
        arrivals.extend(watch(stream, GLANCE));
        let told = status(scene);
        if !told.is_null() && is_it(&told) {
            println!(
                "after {:.0} s: {}",
                start.elapsed().as_secs_f64(),
                told["reason"]
            );
            return arrivals;
        }
        assert!(start.elapsed() < PATIENCE, "{told}");
    }
}

/// What the box says of its uplink.
fn status(scene: &Scene) -> Value {
    scene.viewer.status(CAMERA).unwrap()["box"]["uplink"].clone()
}

/// 95 of 100 pictures were no older than two transmissions and [`SLACK`], which
/// is less than the queue would have cost them.
fn require_fresh(arrivals: &[Arrival], bits_per_second: f64) {
    let allowed = |bytes: usize| {
        let transmission = 8.0 * bytes as f64 / bits_per_second;
        Duration::from_secs_f64(2.0 * transmission) + SLACK
    };
    let largest = arrivals.iter().map(|arrival| arrival.bytes).max().unwrap();
    let queue = Duration::from_secs_f64(8.0 * QUEUE_BYTES / bits_per_second);
    assert!(
        allowed(largest) < queue,
        "a queue of {queue:?} shows nothing"
    );
    let is_old = |arrival: &&Arrival| arrival.age > allowed(arrival.bytes);
    let old = arrivals.iter().filter(is_old).count();
    let oldest = arrivals.iter().map(|arrival| arrival.age).max().unwrap();
    println!(
        "narrow: {old} of {} pictures too old, the oldest {oldest:.2?}; the queue holds {queue:.2?}",
        arrivals.len()
    );
    assert!(20 * old <= arrivals.len(), "{old} of {}", arrivals.len());
}
