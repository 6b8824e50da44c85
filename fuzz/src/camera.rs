//! Pictures and streams of them.

use std::time::Duration;

use bytes::Bytes;
use pinhole_link::{
    Frame,
    jpeg::{self, Comments, check, repair},
    multipart::{Dialect, Framing, PartReader, PartWriter},
};
use pinhole_relay::ingest::from_url::{Answer, UrlStream};

use crate::in_pieces;

/// A webcam's picture: what is put right is whole, and stays as it is when put
/// right once more.
pub fn jpeg(bytes: &[u8]) {
    let is_whole = check(bytes).is_ok();
    let Ok((repaired, picture)) = repair(bytes, Comments::Drop) else {
        assert!(!is_whole, "a whole picture is refused");
        return;
    };
    let checked = jpeg::check(&repaired).unwrap();
    assert_eq!(
        (checked.width, checked.height),
        (picture.width, picture.height)
    );
    let (again, _) = repair(&repaired, Comments::Drop).unwrap();
    assert_eq!(again, repaired, "repaired twice is not repaired once");
}

/// A box's stream: read the same in whatever pieces it comes, and what was read
/// survives being written and read again.
pub fn box_stream(bytes: &[u8]) {
    let (frames, _) = box_frames(bytes, 4096);
    let (in_bits, _) = box_frames(bytes, 3);
    assert!(same(&frames, &in_bits), "pieces change what is read");
    let mut writer = PartWriter::new(Framing::CloseDelimited, Dialect::Eager);
    let mut written = writer.opening().to_vec();
    for frame in frames.clone() {
        written.extend_from_slice(&writer.part(&frame.into()).concat());
    }
    let (again, is_proper) = box_frames(&written, 4096);
    assert!(
        is_proper && same(&frames, &again),
        "written, it reads otherwise"
    );
}

/// The frames, and whether the end was a proper one.
fn box_frames(bytes: &[u8], piece: usize) -> (Vec<Frame>, bool) {
    smol::block_on(async {
        let mut parts = PartReader::new(in_pieces(bytes, piece));
        let mut frames = Vec::new();
        loop {
            match parts.next().await {
                Ok(Some(frame)) => frames.push(frame),
                end => return (frames, end.is_ok()),
            }
        }
    })
}

fn same(one: &[Frame], other: &[Frame]) -> bool {
    let of = |frame: &Frame| (frame.jpeg().clone(), frame.sequence());
    one.iter().map(of).eq(other.iter().map(of))
}

/// All that a camera that is no box answers, its head included: each picture
/// out of it is whole, in whatever pieces the answer comes.
pub fn camera_answer(bytes: &[u8]) {
    let pictures = camera_pictures(bytes, 4096);
    for picture in &pictures {
        jpeg::check(picture).unwrap();
    }
    assert_eq!(
        pictures,
        camera_pictures(bytes, 5),
        "pieces change what is read"
    );
}

fn camera_pictures(bytes: &[u8], piece: usize) -> Vec<Bytes> {
    smol::block_on(async {
        let mut pictures = Vec::new();
        let mut reader = in_pieces(bytes, piece);
        let Ok(answer) = Answer::read(&mut reader).await else {
            return pictures;
        };
        let mut stream = UrlStream::behind(answer, reader, Duration::ZERO, 0);
        while let Ok(part) = stream.next().await {
            if let Ok(frame) = part {
                pictures.push(frame.jpeg().clone());
            }
        }
        pictures
    })
}
