//! The other end of the bus: what QEMU and a guest's driver do together.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test"
)]

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    time::Duration,
};

use pinhole_rig::{
    usbredir::{
        Capabilities, Decoder, Encoder, Message, Packet, Status,
        message::{Bulk, Control, DeviceConnect, Endpoint, Interface, Speed},
    },
    uvc::{Format, Formats, Size},
    webcam::{Webcam, WebcamOptions},
};

/// Nothing here takes as long; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many transfers as Linux's `uvcvideo` keeps open, of the size it has.
const URBS: usize = 5;
const URB_BYTES: u32 = 16_384;

pub(crate) struct Guest {
    directory: tempfile::TempDir,
    listener: UnixListener,
    bus: UnixStream,
    decoder: Decoder,
    encoder: Encoder,
    last_id: u64,
    formats: Formats,
    /// Transfers that are open, the first asked for first.
    open: Vec<u64>,
    frame_id: Option<u8>,
    pub(crate) told: Told,
}

/// What the device has said of itself, the last of each.
pub(crate) struct Told {
    pub(crate) connect: DeviceConnect,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Guest {
    pub(crate) fn with_webcam(options: WebcamOptions) -> (Self, Webcam) {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("bus")).unwrap();
        Self::plug(directory, listener, options)
    }

    /// The same bus with another webcam in it.
    pub(crate) fn again(self, options: WebcamOptions) -> (Self, Webcam) {
        Self::plug(self.directory, self.listener, options)
    }

    fn plug(
        directory: tempfile::TempDir,
        listener: UnixListener,
        options: WebcamOptions,
    ) -> (Self, Webcam) {
        let formats = options.formats.clone();
        let webcam = Webcam::plug_in(&directory.path().join("bus"), options).unwrap();
        let (bus, _) = listener.accept().unwrap();
        bus.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut guest = Self {
            directory,
            listener,
            bus,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            last_id: 0,
            formats,
            open: Vec::new(),
            frame_id: None,
            told: Told {
                connect: DeviceConnect {
                    speed: Speed::Low,
                    class: 0,
                    subclass: 0,
                    protocol: 0,
                    vendor: 0,
                    product: 0,
                    release: 0,
                },
                interfaces: Vec::new(),
                endpoints: Vec::new(),
            },
        };
        let hello = guest.next().unwrap().message;
        assert!(matches!(hello, Message::Hello { .. }));
        (guest, webcam)
    }

    fn greet(&mut self) {
        if self.told.connect.speed == Speed::High {
            return;
        }
        self.say(
            0,
            Message::Hello {
                version: "a test".to_owned(),
                capabilities: Capabilities::SPOKEN,
            },
        );
        while self.told.connect.speed != Speed::High {
            let packet = self.next().unwrap();
            self.note(&packet.message);
        }
    }

    pub(crate) fn say(&mut self, id: u64, message: Message) {
        let mut bytes = Vec::new();
        self.encoder.encode(&Packet { id, message }, &mut bytes);
        self.say_bytes(&bytes);
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.bus.write_all(bytes).unwrap();
    }

    fn ask(&mut self, message: Message) -> u64 {
        self.greet();
        self.last_id += 1;
        self.say(self.last_id, message);
        self.last_id
    }

    /// The next message, or `None` when the webcam has gone.
    fn next(&mut self) -> Option<Packet> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(packet) = self.decoder.next_packet().unwrap() {
                return Some(packet);
            }
            match self.bus.read(&mut bytes).unwrap() {
                0 => return None,
                count => self.decoder.push(&bytes[..count]),
            }
        }
    }

    fn note(&mut self, message: &Message) {
        match message {
            Message::DeviceConnect(connect) => self.told.connect = *connect,
            Message::InterfaceInfo(interfaces) => self.told.interfaces.clone_from(interfaces),
            Message::EndpointInfo(endpoints) => self.told.endpoints.clone_from(endpoints),
            _ => {}
        }
    }

    /// The message that answers `id`; what comes before it is noted.
    pub(crate) fn answer_to(&mut self, id: u64) -> Message {
        loop {
            let packet = self.next().expect("the webcam is there");
            self.note(&packet.message);
            let is_answer = !matches!(
                packet.message,
                Message::InterfaceInfo(_) | Message::EndpointInfo(_)
            );
            if packet.id == id && is_answer {
                return packet.message;
            }
        }
    }

    pub(crate) fn is_unplugged(&mut self) -> bool {
        while self.next().is_some() {}
        true
    }

    pub(crate) fn control(
        &mut self,
        request_type: u8,
        request: u8,
        value: u16,
        index: u16,
        length: u16,
        data: &[u8],
    ) -> Control {
        let id = self.ask(Message::Control(Control {
            endpoint: request_type & 0x80,
            request,
            request_type,
            status: Status::Success,
            value,
            index,
            length,
            data: data.to_vec(),
        }));
        match self.answer_to(id) {
            Message::Control(answer) => answer,
            other => panic!("{other:?} answers a control transfer"),
        }
    }

    pub(crate) fn descriptor(&mut self, kind: u8, index: u8, length: u16) -> Control {
        let value = u16::from_be_bytes([kind, index]);
        let answer = self.control(0x80, 6, value, 0, length, &[]);
        assert_eq!(answer.status, Status::Success);
        assert_eq!(answer.data.len(), usize::from(answer.length));
        answer
    }

    pub(crate) fn configure(&mut self) {
        let id = self.ask(Message::SetConfiguration { configuration: 1 });
        let expected = Message::ConfigurationStatus {
            status: Status::Success,
            configuration: 1,
        };
        assert_eq!(self.answer_to(id), expected);
    }

    pub(crate) fn set_alt_setting(&mut self, interface: u8, setting: u8) -> Status {
        let id = self.ask(Message::SetAltSetting { interface, setting });
        match self.answer_to(id) {
            Message::AltSettingStatus { status, .. } => status,
            other => panic!("{other:?} answers an alternate setting"),
        }
    }

    /// Probes, checks that the camera agrees, and commits.
    pub(crate) fn negotiate(&mut self, format: Format, size: Size, interval: u32) {
        let mut wanted = vec![1, 0, self.formats.index_of(format), size.index()];
        wanted.extend(interval.to_le_bytes());
        wanted.resize(34, 0);
        let probed = self.control(0x21, 0x01, 0x0100, 1, 34, &wanted);
        assert_eq!((probed.status, probed.length), (Status::Success, 34));
        let offered = self.control(0xa1, 0x81, 0x0100, 1, 34, &[]).data;
        assert_eq!(offered[2..8], wanted[2..8]);
        let committed = self.control(0x21, 0x01, 0x0200, 1, 34, &offered);
        assert_eq!(committed.status, Status::Success);
    }

    /// Takes all transfers back, with what came in them meanwhile.
    pub(crate) fn pause(&mut self) {
        for id in std::mem::take(&mut self.open) {
            self.say(id, Message::CancelDataPacket);
            self.answer_to(id);
        }
        self.frame_id = None;
    }

    /// As `uvcvideo` ends a bulk stream.
    pub(crate) fn stop(&mut self) {
        self.pause();
        let cleared = self.control(0x02, 1, 0, 0x81, 0, &[]);
        assert_eq!(cleared.status, Status::Success);
    }

    pub(crate) fn ask_bulk(&mut self, endpoint: u8, length: u32) -> u64 {
        self.ask(Message::Bulk(Bulk {
            endpoint,
            status: Status::Success,
            length,
            data: Vec::new(),
        }))
    }

    pub(crate) fn bulk(&mut self, endpoint: u8, length: u32) -> Bulk {
        let id = self.ask_bulk(endpoint, length);
        match self.answer_to(id) {
            Message::Bulk(answer) => answer,
            other => panic!("{other:?} answers a bulk transfer"),
        }
    }

    /// Reads a frame with a few transfers open at once; they stay open for the
    /// next one.
    pub(crate) fn bulk_frame(&mut self) -> Vec<u8> {
        let mut frame = Vec::new();
        loop {
            while self.open.len() < URBS {
                let id = self.ask_bulk(0x81, URB_BYTES);
                self.open.push(id);
            }
            let id = self.open.remove(0);
            let Message::Bulk(answer) = self.answer_to(id) else {
                panic!("no answer to a bulk transfer");
            };
            assert_eq!(answer.status, Status::Success);
            assert_eq!(answer.length as usize, answer.data.len());
            if self.take_payload(&answer.data, &mut frame) {
                return frame;
            }
        }
    }

    pub(crate) fn start_iso(&mut self) -> Status {
        let id = self.ask(Message::StartIsoStream {
            endpoint: 0x81,
            packets_per_transfer: 32,
            transfers: 16,
        });
        match self.answer_to(id) {
            Message::IsoStreamStatus { status, .. } => status,
            other => panic!("{other:?} answers the start of a stream"),
        }
    }

    pub(crate) fn iso_frame(&mut self) -> Vec<u8> {
        let mut frame = Vec::new();
        loop {
            let Some(Message::Iso { data, .. }) = self.next().map(|packet| packet.message) else {
                panic!("no isochronous packet");
            };
            assert!(data.len() <= 3072);
            if !data.is_empty() && self.take_payload(&data, &mut frame) {
                return frame;
            }
        }
    }

    /// Adds a payload's data to `frame`; says whether the frame is at its end.
    fn take_payload(&mut self, payload: &[u8], frame: &mut Vec<u8>) -> bool {
        let (header, data) = payload.split_at(usize::from(payload[0]));
        let frame_id = header[1] & 1;
        if frame.is_empty() {
            assert_ne!(self.frame_id, Some(frame_id));
        } else {
            assert_eq!(self.frame_id, Some(frame_id));
        }
        self.frame_id = Some(frame_id);
        frame.extend_from_slice(data);
        header[1] & 2 != 0
    }
}
