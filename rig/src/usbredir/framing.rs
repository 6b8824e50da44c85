//! Messages one after another on a stream.
//!
//! Each has a header of type, length of the body and id. The hello's id has 32
//! bits; all later ones have 64, for [`Capabilities::SPOKEN`] says so and a
//! peer that cannot is refused.

use super::{
    Capabilities, Message, Packet, ProtocolError,
    body::HELLO,
    fields::{Fields, Short},
};

/// The longest body that is taken. The guest sends this device control requests
/// alone, whose data stage has at most 64 KiB.
const LONGEST_BODY: usize = 66_000;

/// Takes a stream apart into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    received: Vec<u8>,
    /// How many bytes of `received` were given out.
    consumed: usize,
    greeted: bool,
}

/// Puts messages on a stream.
#[derive(Debug, Default)]
pub struct Encoder {
    greeted: bool,
}

impl Decoder {
    /// Adds what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.drain(..self.consumed);
        self.consumed = 0;
        self.received.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` when more must be read first.
    ///
    /// # Errors
    /// When the stream does not follow the protocol, or is not opened by a
    /// hello with the capabilities that are needed. The decoder is of no use
    /// after that.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ProtocolError> {
        let mut unread = Fields(&self.received[self.consumed..]);
        let Ok(header) = Header::decode(&mut unread, self.greeted) else {
            return Ok(None);
        };
        header.check(self.greeted)?;
        let Ok(body) = unread.bytes(header.length) else {
            return Ok(None);
        };
        let message = Message::decode(header.kind, body)?;
        if let Message::Hello {
            version,
            capabilities,
        } = &message
        {
            require_spoken(version, *capabilities)?;
            self.greeted = true;
        }
        self.consumed = self.received.len() - unread.0.len();
        Ok(Some(Packet {
            id: header.id,
            message,
        }))
    }
}

impl Encoder {
    /// Appends `packet` to `out`.
    pub fn encode(&mut self, packet: &Packet, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(packet.message.kind().to_le_bytes());
        out.extend([0; 4]);
        if self.greeted {
            out.extend(packet.id.to_le_bytes());
        } else {
            out.extend((packet.id as u32).to_le_bytes());
            self.greeted = true;
        }
        let body = out.len();
        packet.message.encode(out);
        let length = (out.len() - body) as u32;
        out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    }
}

struct Header {
    kind: u32,
    length: usize,
    id: u64,
}

impl Header {
    fn decode(fields: &mut Fields<'_>, greeted: bool) -> Result<Self, Short> {
        Ok(Self {
            kind: fields.u32()?,
            length: fields.u32()? as usize,
            id: if greeted {
                fields.u64()?
            } else {
                fields.u32()?.into()
            },
        })
    }

    fn check(&self, greeted: bool) -> Result<(), ProtocolError> {
        if !greeted && self.kind != HELLO {
            return Err(ProtocolError::NoHello { kind: self.kind });
        }
        if self.length > LONGEST_BODY {
            return Err(ProtocolError::Long {
                kind: self.kind,
                length: self.length,
                limit: LONGEST_BODY,
            });
        }
        Ok(())
    }
}

fn require_spoken(version: &str, capabilities: Capabilities) -> Result<(), ProtocolError> {
    let missing = Capabilities::SPOKEN.without(capabilities);
    if missing.is_empty() {
        return Ok(());
    }
    Err(ProtocolError::Capabilities {
        version: version.to_owned(),
        missing,
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::{
        Bulk, Control, DeviceConnect, Endpoint, Interface, Speed, Status, TransferType,
    };
    use super::*;

    fn hello(capabilities: Capabilities) -> Message {
        Message::Hello {
            version: "test".to_owned(),
            capabilities,
        }
    }

    fn everything() -> Vec<Message> {
        vec![
            hello(Capabilities::SPOKEN),
            Message::DeviceConnect(DeviceConnect {
                speed: Speed::High,
                class: 0xef,
                subclass: 2,
                protocol: 1,
                vendor: 0x1d6b,
                product: 0x0102,
                release: 0x0100,
            }),
            Message::DeviceDisconnect,
            Message::Reset,
            Message::InterfaceInfo(vec![
                Interface {
                    number: 0,
                    class: 14,
                    subclass: 1,
                    protocol: 0,
                },
                Interface {
                    number: 1,
                    class: 14,
                    subclass: 2,
                    protocol: 0,
                },
            ]),
            Message::EndpointInfo(vec![Endpoint {
                address: 0x81,
                transfer: TransferType::Bulk,
                interval: 0,
                interface: 1,
                max_packet_size: 512,
            }]),
            Message::SetConfiguration { configuration: 1 },
            Message::GetConfiguration,
            Message::ConfigurationStatus {
                status: Status::Success,
                configuration: 1,
            },
            Message::SetAltSetting {
                interface: 1,
                setting: 0,
            },
            Message::GetAltSetting { interface: 1 },
            Message::AltSettingStatus {
                status: Status::Stall,
                interface: 1,
                setting: 3,
            },
            Message::StartIsoStream {
                endpoint: 0x81,
                packets_per_transfer: 32,
                transfers: 16,
            },
            Message::StopIsoStream { endpoint: 0x81 },
            Message::IsoStreamStatus {
                status: Status::Success,
                endpoint: 0x81,
            },
            Message::CancelDataPacket,
            Message::Control(Control {
                endpoint: 0x80,
                request: 6,
                request_type: 0x80,
                status: Status::Success,
                value: 0x0100,
                index: 0,
                length: 3,
                data: vec![1, 2, 3],
            }),
            Message::Bulk(Bulk {
                endpoint: 0x81,
                status: Status::Cancelled,
                length: 0x0002_0001,
                data: vec![9; 40],
            }),
            Message::Iso {
                endpoint: 0x81,
                status: Status::Success,
                data: vec![7; 5],
            },
            Message::Other { kind: 22 },
        ]
    }

    fn encode(messages: &[Message]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut stream = Vec::new();
        for (id, message) in messages.iter().enumerate() {
            let packet = Packet {
                id: id as u64,
                message: message.clone(),
            };
            encoder.encode(&packet, &mut stream);
        }
        stream
    }

    #[test]
    fn all_messages_come_back_from_a_stream_read_byte_by_byte() {
        let messages = everything();
        let mut decoder = Decoder::default();
        let mut decoded = Vec::new();
        for byte in encode(&messages) {
            decoder.push(&[byte]);
            while let Some(packet) = decoder.next_packet().unwrap() {
                assert_eq!(packet.id, decoded.len() as u64);
                decoded.push(packet.message);
            }
        }
        assert_eq!(decoded, messages);
    }

    /// The sizes of usbredirproto.h's structures, without the fields that
    /// capabilities we do not have would add.
    #[test]
    fn bodies_have_the_sizes_of_the_header_file() {
        let sizes = [
            (0, 68),
            (1, 10),
            (4, 132),
            (5, 160),
            (8, 2),
            (11, 3),
            (12, 3),
            (14, 2),
            (100, 13),
            (101, 50),
            (102, 9),
        ];
        for message in everything() {
            let Some((_, size)) = sizes.iter().find(|(kind, _)| *kind == message.kind()) else {
                continue;
            };
            let mut body = Vec::new();
            message.encode(&mut body);
            assert_eq!(body.len(), *size, "{message:?}");
        }
    }

    #[test]
    fn a_hello_and_a_bulk_answer_look_as_on_the_wire() {
        let bulk = Message::Bulk(Bulk {
            endpoint: 0x81,
            status: Status::Success,
            length: 2,
            data: vec![0xaa, 0xbb],
        });
        let stream = encode(&[hello(Capabilities::SPOKEN), bulk]);
        let (hello, bulk) = stream.split_at(12 + 68);
        assert_eq!(hello[..16], *b"\0\0\0\0\x44\0\0\0\0\0\0\0test");
        assert_eq!(hello[76..], [0x72, 0, 0, 0]);
        assert_eq!(
            bulk,
            [
                101, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // header
                0x81, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb,
            ]
        );
    }

    #[test]
    fn a_stream_that_breaks_the_protocol_is_an_error() {
        let error = |messages: &[Message], tail: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(&encode(messages));
            decoder.push(tail);
            loop {
                match decoder.next_packet() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("taken for good"),
                    Err(error) => return error.to_string(),
                }
            }
        };
        let greeting = hello(Capabilities::SPOKEN);
        assert!(error(&[Message::Reset], &[]).contains("did not say hello"));
        let old = hello(Capabilities::CONNECT_DEVICE_VERSION);
        assert!(error(&[old], &[]).contains("64bits_ids"));
        let short = [8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(error(std::slice::from_ref(&greeting), &short).contains("ends early"));
        let undefined = [8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99, 0];
        assert!(error(std::slice::from_ref(&greeting), &undefined).contains("status"));
        let long = [101, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(error(std::slice::from_ref(&greeting), &long).contains("at most"));
    }
}
