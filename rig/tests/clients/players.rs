//! What plays, records and analyses streams.

use std::{fs, process::Command};

use crate::{
    camera::{self, GREEN, RED, picture},
    run, run_to_any_end,
    site::Site,
    told,
};

#[test]
#[ignore = "needs the relay's binary and curl: run scripts/test"]
fn curl_receives_pictures_byte_for_byte_in_either_version() {
    let site = Site::start("curl", GREEN);
    let picture = picture(GREEN);
    for (version, is_chunked) in [("--http1.0", false), ("--http1.1", true)] {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--include",
            "--no-buffer",
            "--max-time",
            "4",
            version,
            "--cacert",
        ]);
        curl.arg(site.certificate()).arg(site.stream());
        let output = run_to_any_end(&mut curl);
        // Nothing but its own deadline ends an endless stream.
        assert_eq!(output.status.code(), Some(28), "{}", told(&output));
        let head = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{version}");
        let says_chunked = head.contains("\r\ntransfer-encoding: chunked\r\n");
        assert_eq!(says_chunked, is_chunked, "{version}");
        let part = format!("Content-Length: {}\r\n", picture.len());
        assert!(head.contains(&part.to_lowercase()), "{version}");
        let pictures = occurrences(&output.stdout, &picture);
        assert!(pictures > 5, "{version}: {pictures} pictures");
    }
}

#[test]
#[ignore = "needs the relay's binary and ffmpeg: run scripts/test"]
fn ffmpeg_decodes_pictures() {
    let site = Site::start("ffmpeg", RED);
    let stream = site.stream();
    for options in [
        &[][..],
        &["-f", "mpjpeg"],
        &["-f", "mpjpeg", "-strict_mime_boundary", "1"],
    ] {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args([
            "-v",
            "error",
            "-ca_file",
            &site.certificate(),
            "-tls_verify",
            "1",
        ]);
        ffmpeg.args(options).args(["-i", &stream]);
        ffmpeg.args([
            "-frames:v",
            "10",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ]);
        let output = run(&mut ffmpeg);
        assert_film(&output.stdout, 10, &format!("{options:?}"));
    }
}

#[test]
#[ignore = "needs the relay's binary and GStreamer: run scripts/test"]
fn gstreamer_decodes_pictures() {
    let site = Site::start("gstreamer", RED);
    let film = site.file("film.rgb");
    let mut gstreamer = Command::new("gst-launch-1.0");
    gstreamer.args([
        "-q",
        "souphttpsrc",
        "ssl-strict=false",
        &format!("location={}", site.stream()),
    ]);
    gstreamer.args([
        "!",
        "multipartdemux",
        "!",
        "jpegdec",
        "!",
        "identity",
        "eos-after=11",
    ]);
    gstreamer.args(["!", "videoconvert", "!", "video/x-raw,format=RGB"]);
    gstreamer.args(["!", "filesink", &format!("location={film}")]);
    run(&mut gstreamer);
    assert_film(&fs::read(film).unwrap(), 10, "GStreamer");
}

#[test]
#[ignore = "needs the relay's binary and OpenCV: run scripts/test"]
fn opencv_decodes_pictures() {
    const READ: &str = "\
import cv2, sys
capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG)
for _ in range(10):
    read, picture = capture.read()
    if not read:
        sys.exit('no picture')
    sys.stdout.buffer.write(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).tobytes())
";
    let site = Site::start("opencv", RED);
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", READ, &site.stream()]);
    let output = run(&mut python);
    assert_film(&output.stdout, 10, "OpenCV");
}

#[test]
#[ignore = "needs the relay's binary and mpv: run scripts/test"]
fn mpv_plays_pictures() {
    let site = Site::start("mpv", RED);
    let film = site.file("film.rgb");
    let mut mpv = Command::new("mpv");
    mpv.args(["--no-config", "--no-audio", "--tls-verify=yes"]);
    mpv.arg(format!("--tls-ca-file={}", site.certificate()));
    mpv.args([
        "--frames=10",
        "--of=rawvideo",
        "--ovc=rawvideo",
        "--vf=format=rgb24",
    ]);
    mpv.arg(format!("--o={film}")).arg(site.stream());
    let output = run(&mut mpv);
    let film = fs::read(film).unwrap();
    assert_film(&film, 5, &format!("mpv: {}", told(&output)));
}

/// Asserts that `film` has at least so many raw pictures, all of the camera's
/// colour in the middle.
fn assert_film(film: &[u8], least: usize, who: &str) {
    const LEN: usize = 320 * 240 * 3;
    assert!(film.len() >= least * LEN, "{who}: {} bytes", film.len());
    for picture in film.chunks_exact(LEN) {
        let pixel = &picture[LEN / 2..][..3];
        assert!(camera::is(pixel, RED), "{who}: {pixel:?}");
    }
}

fn occurrences(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes
        .windows(wanted.len())
        .filter(|window| *window == wanted)
        .count()
}
