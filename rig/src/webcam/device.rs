//! The device: what it answers to each message of the guest.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Instant,
};

use super::{WebcamOptions, locked, misbehaviour::Behaviour, stream::Stream};
use crate::{
    usbredir::{
        Message, Packet, Status,
        message::{Bulk, Control, DeviceConnect, Endpoint, Interface, Speed, TransferType},
    },
    uvc::{
        CONTROL_INTERFACE, Negotiation, STREAMING_ENDPOINT, STREAMING_INTERFACE, Settings, Stall,
        descriptor::{self, Transport},
        negotiation::Selector,
        payload,
    },
};

/// A webcam on a bus. It has no connection and no thread: messages go in,
/// answers come out.
pub(super) struct Device {
    options: WebcamOptions,
    configuration: u8,
    /// The streaming interface's alternate setting.
    setting: u8,
    negotiation: Negotiation,
    settings: Arc<Mutex<Settings>>,
    stream: Stream,
}

/// bRequest of the standard requests (USB 2.0 table 9-4).
mod request {
    pub(super) const GET_STATUS: u8 = 0;
    pub(super) const CLEAR_FEATURE: u8 = 1;
    pub(super) const GET_DESCRIPTOR: u8 = 6;
}

/// bmRequestType: direction, kind and recipient (USB 2.0 table 9-2).
mod request_type {
    pub(super) const FROM_DEVICE: u8 = 0x80;
    pub(super) const FROM_INTERFACE: u8 = 0x81;
    pub(super) const FROM_ENDPOINT: u8 = 0x82;
    pub(super) const TO_ENDPOINT: u8 = 0x02;
    pub(super) const CLASS_TO_INTERFACE: u8 = 0x21;
    pub(super) const CLASS_FROM_INTERFACE: u8 = 0xa1;
}

impl Device {
    /// A device that just got power. `settings` has what the guest sets,
    /// `behaviour` what the device does wrong, `frames_sent` counts what it sends.
    pub(super) fn new(
        options: WebcamOptions,
        settings: Arc<Mutex<Settings>>,
        behaviour: Behaviour,
        frames_sent: Arc<AtomicU64>,
    ) -> Self {
        let transport = options.transport;
        Self {
            configuration: 0,
            setting: 0,
            negotiation: Negotiation::new(options.formats.clone(), transport),
            settings,
            stream: Stream::new(transport, options.huffman_tables, behaviour, frames_sent),
            options,
        }
    }

    /// Whether it has left the bus of its own accord.
    pub(super) fn has_vanished(&self) -> bool {
        self.stream.has_vanished()
    }

    /// When [`advance`](Self::advance) has something to do, if ever.
    pub(super) fn due(&self) -> Option<Instant> {
        self.stream.due()
    }

    /// Appends to `answers` what is to be sent at `now` without being asked for.
    pub(super) fn advance(&mut self, now: Instant, answers: &mut Vec<Packet>) {
        self.stream.advance(now, answers);
    }

    /// Appends to `answers` what the device says to `packet`, got at `now`.
    /// What it does not know it stalls or passes over.
    pub(super) fn handle(&mut self, packet: Packet, now: Instant, answers: &mut Vec<Packet>) {
        let Packet { id, message } = packet;
        let mut answer = |message| answers.push(Packet { id, message });
        match message {
            Message::Hello { version, .. } => {
                tracing::info!("plugged into {version}");
                answer(self.interfaces());
                answer(self.endpoints());
                answer(self.connect());
            }
            Message::Reset => {
                self.configuration = 0;
                self.setting = 0;
                self.stream.stop();
                self.stream.forget_transfers();
            }
            Message::SetConfiguration { configuration } => {
                let status = self.set_configuration(configuration);
                answer(self.interfaces());
                answer(self.endpoints());
                answer(Message::ConfigurationStatus {
                    status,
                    configuration: self.configuration,
                });
            }
            Message::GetConfiguration => answer(Message::ConfigurationStatus {
                status: Status::Success,
                configuration: self.configuration,
            }),
            Message::SetAltSetting { interface, setting } => {
                let status = self.set_alt_setting(interface, setting);
                answer(self.endpoints());
                answer(self.alt_setting_status(status, interface));
            }
            Message::GetAltSetting { interface } => {
                answer(self.alt_setting_status(Status::Success, interface));
            }
            Message::StartIsoStream { endpoint, .. } => {
                let status = self.start_iso_stream(endpoint, now);
                answer(Message::IsoStreamStatus { status, endpoint });
            }
            Message::StopIsoStream { endpoint } => {
                self.stream.stop();
                answer(Message::IsoStreamStatus {
                    status: Status::Success,
                    endpoint,
                });
            }
            Message::Control(control) => answer(Message::Control(self.control(control))),
            Message::Bulk(bulk) => match self.open_transfer(id, &bulk, now) {
                Ok(()) => self.stream.advance(now, answers),
                Err(Stall) => answer(bulk_ended(bulk.endpoint, Status::Stall)),
            },
            Message::CancelDataPacket => {
                if self.stream.cancel_transfer(id) {
                    answer(bulk_ended(STREAMING_ENDPOINT, Status::Cancelled));
                }
            }
            message => tracing::debug!("passed over {message:?}"),
        }
    }

    fn connect(&self) -> Message {
        let (class, subclass, protocol) = descriptor::DEVICE_CLASS;
        let identity = &self.options.identity;
        Message::DeviceConnect(DeviceConnect {
            speed: Speed::High,
            class,
            subclass,
            protocol,
            vendor: identity.vendor,
            product: identity.product,
            release: identity.release,
        })
    }

    fn interfaces(&self) -> Message {
        let interface = |number, subclass| Interface {
            number,
            class: descriptor::CLASS_VIDEO,
            subclass,
            protocol: 0,
        };
        Message::InterfaceInfo(vec![
            interface(CONTROL_INTERFACE, descriptor::SUBCLASS_CONTROL),
            interface(STREAMING_INTERFACE, descriptor::SUBCLASS_STREAMING),
        ])
    }

    fn endpoints(&self) -> Message {
        let transport = self.options.transport;
        let (transfer, interval) = match transport {
            Transport::Bulk => (TransferType::Bulk, 0),
            Transport::Isochronous => (TransferType::Isochronous, Transport::ISOCHRONOUS_INTERVAL),
        };
        let streaming = Endpoint {
            address: STREAMING_ENDPOINT,
            transfer,
            interval,
            interface: STREAMING_INTERFACE,
            max_packet_size: transport.max_packet(),
        };
        let present = self.setting == transport.alt_setting();
        Message::EndpointInfo(present.then_some(streaming).into_iter().collect())
    }

    fn set_configuration(&mut self, configuration: u8) -> Status {
        if configuration > descriptor::CONFIGURATION {
            return Status::Stall;
        }
        self.configuration = configuration;
        self.setting = 0;
        self.stream.stop();
        Status::Success
    }

    fn set_alt_setting(&mut self, interface: u8, setting: u8) -> Status {
        match interface {
            CONTROL_INTERFACE if setting == 0 => Status::Success,
            STREAMING_INTERFACE if setting <= self.options.transport.alt_setting() => {
                self.setting = setting;
                self.stream.stop();
                Status::Success
            }
            _ => Status::Stall,
        }
    }

    fn alt_setting_status(&self, status: Status, interface: u8) -> Message {
        let (status, setting) = match interface {
            CONTROL_INTERFACE => (status, 0),
            STREAMING_INTERFACE => (status, self.setting),
            _ => (Status::Stall, 0),
        };
        Message::AltSettingStatus {
            status,
            interface,
            setting,
        }
    }

    fn has_endpoint(&self, address: u8, transport: Transport) -> bool {
        address == STREAMING_ENDPOINT
            && transport == self.options.transport
            && self.setting == transport.alt_setting()
    }

    fn start_iso_stream(&mut self, endpoint: u8, now: Instant) -> Status {
        if !self.has_endpoint(endpoint, Transport::Isochronous) {
            return Status::Stall;
        }
        self.stream.start(self.negotiation.committed(), now);
        Status::Success
    }

    /// A bulk stream starts when the guest first asks for data: there is no
    /// other sign (2.4.3.1).
    fn open_transfer(&mut self, id: u64, bulk: &Bulk, now: Instant) -> Result<(), Stall> {
        let holds_a_header = bulk.length as usize > payload::HEADER_LENGTH;
        if !self.has_endpoint(bulk.endpoint, Transport::Bulk) || !holds_a_header {
            return Err(Stall);
        }
        self.stream.open_transfer(id, bulk.length)?;
        self.stream.start(self.negotiation.committed(), now);
        Ok(())
    }

    /// The answer to a control transfer.
    fn control(&mut self, asked: Control) -> Control {
        let answer = match asked.request_type & request_type::FROM_DEVICE {
            0 => self.write(&asked).map(|()| (asked.length, Vec::new())),
            _ => self.read(&asked).map(|mut data| {
                data.truncate(asked.length.into());
                (data.len() as u16, data)
            }),
        };
        let (status, (length, data)) = match answer {
            Ok(answer) => (Status::Success, answer),
            Err(Stall) => {
                let (kind, code) = (asked.request_type, asked.request);
                tracing::debug!("stalled request {code:#04x} of type {kind:#04x}");
                (Status::Stall, (0, Vec::new()))
            }
        };
        Control {
            status,
            length,
            data,
            ..asked
        }
    }

    fn read(&self, asked: &Control) -> Result<Vec<u8>, Stall> {
        match (asked.request_type, asked.request) {
            (request_type::FROM_DEVICE, request::GET_DESCRIPTOR) => self.descriptor(asked.value),
            (
                request_type::FROM_DEVICE
                | request_type::FROM_INTERFACE
                | request_type::FROM_ENDPOINT,
                request::GET_STATUS,
            ) => Ok(vec![0, 0]),
            (request_type::CLASS_FROM_INTERFACE, code) if is_for_streaming(asked) => {
                let selector = Selector::from_value(asked.value)?;
                self.negotiation.get(selector, code)
            }
            (request_type::CLASS_FROM_INTERFACE, code) => {
                let (unit, selector) = control_of(asked)?;
                locked(&self.settings).get(unit, selector, code)
            }
            _ => Err(Stall),
        }
    }

    /// The descriptor that GET_DESCRIPTOR's wValue names, by type and index.
    fn descriptor(&self, value: u16) -> Result<Vec<u8>, Stall> {
        let [index, kind] = value.to_le_bytes();
        match (kind, index) {
            (descriptor::kind::DEVICE, 0) => Ok(descriptor::device(&self.options.identity)),
            (descriptor::kind::CONFIGURATION, 0) => {
                let WebcamOptions {
                    formats,
                    controls,
                    transport,
                    ..
                } = &self.options;
                Ok(descriptor::configuration(formats, *controls, *transport))
            }
            (descriptor::kind::STRING, index) => {
                descriptor::string(&self.options.identity, index).ok_or(Stall)
            }
            _ => Err(Stall),
        }
    }

    fn write(&mut self, asked: &Control) -> Result<(), Stall> {
        match (asked.request_type, asked.request) {
            // How Linux and Windows say that a bulk stream is at its end.
            (request_type::TO_ENDPOINT, request::CLEAR_FEATURE) => {
                self.stream.stop();
                Ok(())
            }
            (request_type::CLASS_TO_INTERFACE, code) if is_for_streaming(asked) => {
                let selector = Selector::from_value(asked.value)?;
                self.negotiation.set(selector, code, &asked.data)
            }
            (request_type::CLASS_TO_INTERFACE, code) => {
                let (unit, selector) = control_of(asked)?;
                locked(&self.settings).set(unit, selector, code, &asked.data)
            }
            _ => Err(Stall),
        }
    }
}

/// Whether wIndex names the streaming interface itself, and no entity in it.
fn is_for_streaming(asked: &Control) -> bool {
    asked.index == u16::from(STREAMING_INTERFACE)
}

/// The unit of the control interface and the selector of its control that a
/// request names (4.2.1).
fn control_of(asked: &Control) -> Result<(u8, u8), Stall> {
    let [interface, unit] = asked.index.to_le_bytes();
    let [zero, selector] = asked.value.to_le_bytes();
    match (interface, zero) {
        (CONTROL_INTERFACE, 0) => Ok((unit, selector)),
        _ => Err(Stall),
    }
}

fn bulk_ended(endpoint: u8, status: Status) -> Message {
    Message::Bulk(Bulk {
        endpoint,
        status,
        length: 0,
        data: Vec::new(),
    })
}
