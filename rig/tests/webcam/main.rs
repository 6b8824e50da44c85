//! The webcam against a guest that is a test: it enumerates the device,
//! negotiates, streams, and asks for what makes no sense.

mod guest;

use std::time::{Duration, SystemTime};

use guest::Guest;
use pinhole_rig::{
    stamp,
    usbredir::{
        Message, Status,
        message::{Bulk, Endpoint, TransferType},
    },
    uvc::{
        Control, Format, Size,
        descriptor::{self, Identity, Transport},
        mode::INTERVALS,
    },
    webcam::{Misbehaviour, Trouble, WebcamError, WebcamOptions, frame::frame},
};

const SMALL: Size = Size {
    width: 320,
    height: 240,
};
const FASTEST: u32 = INTERVALS[0];
const ENDPOINT: u8 = 0x81;

fn isochronous() -> WebcamOptions {
    WebcamOptions {
        transport: Transport::Isochronous,
        ..WebcamOptions::default()
    }
}

#[test]
fn a_guest_enumerates_it_and_finds_what_it_was_told() {
    let identity = Identity {
        product_name: "Lochkamera".to_owned(),
        ..Identity::default()
    };
    let (mut guest, _webcam) = Guest::with_webcam(WebcamOptions {
        identity: identity.clone(),
        ..WebcamOptions::default()
    });
    let device = guest.descriptor(1, 0, 18).data;
    assert_eq!(device, descriptor::device(&identity));
    let connect = guest.told.connect;
    assert_eq!(device[4], connect.class);
    assert_eq!(device[8..10], connect.vendor.to_le_bytes());
    let head = guest.descriptor(2, 0, 9).data;
    assert_eq!(head.len(), 9);
    let total = u16::from_le_bytes([head[2], head[3]]);
    let configuration = guest.descriptor(2, 0, 4096).data;
    assert_eq!(configuration.len(), usize::from(total));
    let endpoint = &configuration[configuration.len() - 7..];
    let told = Endpoint {
        address: endpoint[2],
        transfer: TransferType::Bulk,
        interval: endpoint[6],
        interface: 1,
        max_packet_size: u16::from_le_bytes([endpoint[4], endpoint[5]]),
    };
    assert_eq!(guest.told.endpoints, [told]);
    assert_eq!(guest.told.interfaces.len(), usize::from(head[4]));
    let name = guest.descriptor(3, device[15], 255).data;
    let units = name[2..]
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    assert_eq!(
        String::from_utf16(&units.collect::<Vec<_>>()).unwrap(),
        "Lochkamera"
    );
    guest.configure();
}

#[test]
fn what_was_committed_is_what_comes() {
    let (mut guest, webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.configure();
    guest.negotiate(Format::Mjpg, SMALL, FASTEST);
    let first = guest.bulk_frame();
    let second = guest.bulk_frame();
    let [one, two] = [&first, &second].map(|frame| stamp::read_comment(frame).unwrap());
    assert!(one.sequence() < two.sequence() && one.time() < two.time());
    let again = frame(Format::Mjpg, SMALL, two.sequence(), two.time()).unwrap();
    assert!(second == again);
    assert!(webcam.frames_sent() >= 2);

    guest.stop();
    let larger = Size {
        width: 640,
        height: 480,
    };
    guest.negotiate(Format::Yuyv, larger, FASTEST);
    let raw = guest.bulk_frame();
    assert_eq!(raw.len(), Format::Yuyv.frame_bytes(larger) as usize);
    let luma: Vec<u8> = raw.iter().copied().step_by(2).collect();
    let three = stamp::read_luma(640, 480, &luma).unwrap();
    assert!(three.sequence() > two.sequence());
}

#[test]
fn a_guest_that_pauses_misses_frames_and_gets_none_that_is_old() {
    let (mut guest, _webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.configure();
    guest.negotiate(Format::Mjpg, SMALL, FASTEST);
    let before = stamp::read_comment(&guest.bulk_frame()).unwrap();
    guest.pause();
    std::thread::sleep(Duration::from_millis(300));
    // Its stamp is cut to microseconds, this is not.
    let resumed = SystemTime::now() - Duration::from_micros(1);
    let after = stamp::read_comment(&guest.bulk_frame()).unwrap();
    assert!(after.time() >= resumed);
    assert!(after.sequence() >= before.sequence() + 8, "{after:?}");
}

#[test]
fn isochronous_packets_make_the_same_frames() {
    let (mut guest, _webcam) = Guest::with_webcam(isochronous());
    guest.configure();
    assert!(guest.told.endpoints.is_empty());
    guest.negotiate(Format::Mjpg, SMALL, FASTEST);
    assert_eq!(guest.start_iso(), Status::Stall);
    assert_eq!(guest.set_alt_setting(1, 1), Status::Success);
    assert_eq!(guest.told.endpoints.len(), 1);
    assert_eq!(guest.start_iso(), Status::Success);
    for _ in 0..2 {
        let received = guest.iso_frame();
        let stamp = stamp::read_comment(&received).unwrap();
        let again = frame(Format::Mjpg, SMALL, stamp.sequence(), stamp.time()).unwrap();
        assert!(received == again);
    }
}

#[test]
fn controls_are_set_and_the_test_can_see_it() {
    let (mut guest, webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.configure();
    // Brightness, of the processing unit: its largest value, then -7.
    let largest = guest.control(0xa1, 0x83, 0x0200, 0x0300, 2, &[]);
    assert_eq!(largest.data, [64, 0]);
    let set = guest.control(0x21, 0x01, 0x0200, 0x0300, 2, &[0xf9, 0xff]);
    assert_eq!((set.status, set.length), (Status::Success, 2));
    assert_eq!(webcam.setting(Control::Brightness), -7);
    // The time of exposure is the camera's own business: wrong state.
    let refused = guest.control(0x21, 0x01, 0x0400, 0x0100, 4, &[100, 0, 0, 0]);
    assert_eq!(refused.status, Status::Stall);
    let why = guest.control(0xa1, 0x81, 0x0200, 0x0000, 1, &[]);
    assert_eq!(why.data, [2]);
    assert_eq!(webcam.settings_made(), [(Control::Brightness, -7)]);
}

#[test]
fn what_makes_no_sense_is_stalled_and_does_no_harm() {
    let (mut guest, _webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.configure();
    guest.negotiate(Format::Mjpg, SMALL, FASTEST);
    for (kind, request, value, index) in [
        (0x80, 6, 0x0600, 0), // a device qualifier
        (0x80, 6, 0x0309, 0), // a string that is not there
        (0xa1, 0x81, 0x0100, 0),
        (0xa1, 0x81, 0x0900, 1),
        (0xa1, 0x99, 0x0100, 1),
        (0xc0, 1, 2, 3),
        (0x21, 0x01, 0x0200, 1), // a commit without data
        (0x00, 9, 7, 0),
    ] {
        let answer = guest.control(kind, request, value, index, 64, &[]);
        assert_eq!(
            answer.status,
            Status::Stall,
            "{kind:x} {request:x} {value:x}"
        );
        assert!(answer.data.is_empty() && answer.length == 0);
    }
    assert_eq!(guest.set_alt_setting(1, 1), Status::Stall);
    assert_eq!(guest.set_alt_setting(9, 0), Status::Stall);
    assert_eq!(guest.start_iso(), Status::Stall);
    for (endpoint, length) in [(0x82, 512), (0x01, 512), (ENDPOINT, 0), (ENDPOINT, 6)] {
        assert_eq!(guest.bulk(endpoint, length).status, Status::Stall);
    }
    assert!(stamp::read(&guest.bulk_frame()).is_ok());
}

#[test]
fn transfers_are_taken_back_and_their_number_is_bounded() {
    let (mut guest, webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.configure();
    guest.negotiate(Format::Mjpg, SMALL, INTERVALS[2]);
    guest.bulk_frame();
    // No frame comes in between.
    webcam.misbehave(Trouble::always(Misbehaviour::Silence));
    guest.pause();
    let id = guest.ask_bulk(ENDPOINT, 512);
    guest.say(id, Message::CancelDataPacket);
    let Message::Bulk(Bulk { status, data, .. }) = guest.answer_to(id) else {
        panic!("no answer to a bulk transfer");
    };
    assert_eq!((status, data.len()), (Status::Cancelled, 0));
    let ids: Vec<_> = (0..80).map(|_| guest.ask_bulk(ENDPOINT, 7)).collect();
    let Message::Bulk(Bulk { status, .. }) = guest.answer_to(ids[79]) else {
        panic!("no answer to a bulk transfer");
    };
    assert_eq!(status, Status::Stall);
    guest.say(0, Message::Reset);
    guest.configure();
}

#[test]
fn unplugging_closes_the_connection_and_plugging_in_starts_afresh() {
    let (mut guest, webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.configure();
    guest.negotiate(Format::Mjpg, SMALL, FASTEST);
    guest.bulk_frame();
    webcam.unplug();
    assert!(guest.is_unplugged());
    let (mut guest, webcam) = guest.again(WebcamOptions::default());
    guest.configure();
    guest.bulk_frame();
    drop(guest);
    webcam.wait().unwrap();
}

#[test]
fn a_peer_that_does_not_speak_usbredir_is_an_error() {
    let (mut guest, webcam) = Guest::with_webcam(WebcamOptions::default());
    guest.say_bytes(&[0xff; 64]);
    let error = webcam.wait().unwrap_err();
    assert!(matches!(error, WebcamError::Protocol(_)), "{error}");
}
