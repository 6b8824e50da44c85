//! The messages' bodies, as bytes: usbredirproto.h.

use super::{
    Capabilities, ProtocolError,
    fields::{Fields, Short},
    message::{
        Bulk, Control, DeviceConnect, Endpoint, Interface, Message, Speed, Status, TransferType,
    },
};

/// The type numbers (`usb_redir_*`).
pub(super) const HELLO: u32 = 0;
const DEVICE_CONNECT: u32 = 1;
const DEVICE_DISCONNECT: u32 = 2;
const RESET: u32 = 3;
const INTERFACE_INFO: u32 = 4;
const EP_INFO: u32 = 5;
const SET_CONFIGURATION: u32 = 6;
const GET_CONFIGURATION: u32 = 7;
const CONFIGURATION_STATUS: u32 = 8;
const SET_ALT_SETTING: u32 = 9;
const GET_ALT_SETTING: u32 = 10;
const ALT_SETTING_STATUS: u32 = 11;
const START_ISO_STREAM: u32 = 12;
const STOP_ISO_STREAM: u32 = 13;
const ISO_STREAM_STATUS: u32 = 14;
const CANCEL_DATA_PACKET: u32 = 21;
const CONTROL_PACKET: u32 = 100;
const BULK_PACKET: u32 = 101;
const ISO_PACKET: u32 = 102;

const VERSION_LENGTH: usize = 64;
/// Places in the tables of interfaces and of endpoints.
const SLOTS: usize = 32;
/// The type of an endpoint that does not exist.
const NO_ENDPOINT: u8 = 255;

impl Message {
    /// The type number that stands in the message's header.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Hello { .. } => HELLO,
            Self::DeviceConnect(_) => DEVICE_CONNECT,
            Self::DeviceDisconnect => DEVICE_DISCONNECT,
            Self::Reset => RESET,
            Self::InterfaceInfo(_) => INTERFACE_INFO,
            Self::EndpointInfo(_) => EP_INFO,
            Self::SetConfiguration { .. } => SET_CONFIGURATION,
            Self::GetConfiguration => GET_CONFIGURATION,
            Self::ConfigurationStatus { .. } => CONFIGURATION_STATUS,
            Self::SetAltSetting { .. } => SET_ALT_SETTING,
            Self::GetAltSetting { .. } => GET_ALT_SETTING,
            Self::AltSettingStatus { .. } => ALT_SETTING_STATUS,
            Self::StartIsoStream { .. } => START_ISO_STREAM,
            Self::StopIsoStream { .. } => STOP_ISO_STREAM,
            Self::IsoStreamStatus { .. } => ISO_STREAM_STATUS,
            Self::CancelDataPacket => CANCEL_DATA_PACKET,
            Self::Control(_) => CONTROL_PACKET,
            Self::Bulk(_) => BULK_PACKET,
            Self::Iso { .. } => ISO_PACKET,
            Self::Other { kind } => *kind,
        }
    }

    /// Appends the body (all that follows the message's header) to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello {
                version,
                capabilities,
            } => {
                let mut name = [0; VERSION_LENGTH];
                // The last byte stays zero: the peer takes it for a C string.
                let length = version.len().min(VERSION_LENGTH - 1);
                name[..length].copy_from_slice(&version.as_bytes()[..length]);
                out.extend(name);
                out.extend(capabilities.bits().to_le_bytes());
            }
            Self::DeviceConnect(device) => device.encode(out),
            Self::InterfaceInfo(interfaces) => encode_interfaces(interfaces, out),
            Self::EndpointInfo(endpoints) => encode_endpoints(endpoints, out),
            Self::SetConfiguration { configuration } => out.push(*configuration),
            Self::ConfigurationStatus {
                status,
                configuration,
            } => out.extend([*status as u8, *configuration]),
            Self::SetAltSetting { interface, setting } => out.extend([*interface, *setting]),
            Self::GetAltSetting { interface } => out.push(*interface),
            Self::AltSettingStatus {
                status,
                interface,
                setting,
            } => out.extend([*status as u8, *interface, *setting]),
            Self::StartIsoStream {
                endpoint,
                packets_per_transfer,
                transfers,
            } => out.extend([*endpoint, *packets_per_transfer, *transfers]),
            Self::StopIsoStream { endpoint } => out.push(*endpoint),
            Self::IsoStreamStatus { status, endpoint } => {
                out.extend([*status as u8, *endpoint]);
            }
            Self::Control(control) => control.encode(out),
            Self::Bulk(bulk) => bulk.encode(out),
            Self::Iso {
                endpoint,
                status,
                data,
            } => {
                out.extend([*endpoint, *status as u8]);
                // An isochronous packet has at most 3072 bytes.
                out.extend((data.len() as u16).to_le_bytes());
                out.extend(data);
            }
            Self::DeviceDisconnect
            | Self::Reset
            | Self::GetConfiguration
            | Self::CancelDataPacket
            | Self::Other { .. } => {}
        }
    }

    /// Reads the body of a message of type `kind`.
    ///
    /// # Errors
    /// When the body is shorter than its type needs, or holds a value that the
    /// protocol does not define.
    pub fn decode(kind: u32, body: &[u8]) -> Result<Self, ProtocolError> {
        decode_body(kind, &mut Fields(body)).map_err(|fault| match fault {
            Fault::Short => ProtocolError::Short {
                kind,
                length: body.len(),
            },
            Fault::Value(field, value) => ProtocolError::Value { kind, field, value },
        })
    }
}

/// Why a body cannot be read.
enum Fault {
    Short,
    Value(&'static str, u8),
}

impl From<Short> for Fault {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

fn decode_body(kind: u32, fields: &mut Fields<'_>) -> Result<Message, Fault> {
    Ok(match kind {
        HELLO => {
            let version = fields.bytes(VERSION_LENGTH)?;
            let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
            Message::Hello {
                version: String::from_utf8_lossy(version).into_owned(),
                // The protocol's first version had no capabilities at all.
                capabilities: Capabilities::from_bits(fields.u32().unwrap_or(0)),
            }
        }
        DEVICE_CONNECT => Message::DeviceConnect(DeviceConnect::decode(fields)?),
        DEVICE_DISCONNECT => Message::DeviceDisconnect,
        RESET => Message::Reset,
        INTERFACE_INFO => Message::InterfaceInfo(decode_interfaces(fields)?),
        EP_INFO => Message::EndpointInfo(decode_endpoints(fields)?),
        SET_CONFIGURATION => Message::SetConfiguration {
            configuration: fields.u8()?,
        },
        GET_CONFIGURATION => Message::GetConfiguration,
        CONFIGURATION_STATUS => Message::ConfigurationStatus {
            status: status(fields)?,
            configuration: fields.u8()?,
        },
        SET_ALT_SETTING => Message::SetAltSetting {
            interface: fields.u8()?,
            setting: fields.u8()?,
        },
        GET_ALT_SETTING => Message::GetAltSetting {
            interface: fields.u8()?,
        },
        ALT_SETTING_STATUS => Message::AltSettingStatus {
            status: status(fields)?,
            interface: fields.u8()?,
            setting: fields.u8()?,
        },
        START_ISO_STREAM => Message::StartIsoStream {
            endpoint: fields.u8()?,
            packets_per_transfer: fields.u8()?,
            transfers: fields.u8()?,
        },
        STOP_ISO_STREAM => Message::StopIsoStream {
            endpoint: fields.u8()?,
        },
        ISO_STREAM_STATUS => Message::IsoStreamStatus {
            status: status(fields)?,
            endpoint: fields.u8()?,
        },
        CANCEL_DATA_PACKET => Message::CancelDataPacket,
        CONTROL_PACKET => Message::Control(Control::decode(fields)?),
        BULK_PACKET => Message::Bulk(Bulk::decode(fields)?),
        ISO_PACKET => {
            let endpoint = fields.u8()?;
            let status = data_status(fields)?;
            // The length repeats what the message's own length says.
            fields.u16()?;
            Message::Iso {
                endpoint,
                status,
                data: fields.rest().to_vec(),
            }
        }
        kind => Message::Other { kind },
    })
}

/// The status of a data packet. A request's means nothing, and QEMU 7.2 leaves
/// in it what its stack held: only an answer's is one of those defined.
fn data_status(fields: &mut Fields<'_>) -> Result<Status, Short> {
    Ok(Status::try_from(fields.u8()?).unwrap_or(Status::Invalid))
}

fn status(fields: &mut Fields<'_>) -> Result<Status, Fault> {
    let byte = fields.u8()?;
    Status::try_from(byte).map_err(|value| Fault::Value("status", value))
}

impl DeviceConnect {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.speed as u8, self.class, self.subclass, self.protocol]);
        for word in [self.vendor, self.product, self.release] {
            out.extend(word.to_le_bytes());
        }
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let [speed, class, subclass, protocol] = fields.array()?;
        Ok(Self {
            speed: Speed::try_from(speed).map_err(|value| Fault::Value("speed", value))?,
            class,
            subclass,
            protocol,
            vendor: fields.u16()?,
            product: fields.u16()?,
            release: fields.u16()?,
        })
    }
}

fn encode_interfaces(interfaces: &[Interface], out: &mut Vec<u8>) {
    let interfaces = &interfaces[..interfaces.len().min(SLOTS)];
    out.extend((interfaces.len() as u32).to_le_bytes());
    let columns: [fn(&Interface) -> u8; 4] =
        [|i| i.number, |i| i.class, |i| i.subclass, |i| i.protocol];
    for column in columns {
        let end = out.len() + SLOTS;
        out.extend(interfaces.iter().map(column));
        out.resize(end, 0);
    }
}

fn decode_interfaces(fields: &mut Fields<'_>) -> Result<Vec<Interface>, Short> {
    let count = fields.u32()?;
    let numbers = fields.array::<SLOTS>()?;
    let classes = fields.array::<SLOTS>()?;
    let subclasses = fields.array::<SLOTS>()?;
    let protocols = fields.array::<SLOTS>()?;
    let interfaces = (0..SLOTS.min(count as usize)).map(|slot| Interface {
        number: numbers[slot],
        class: classes[slot],
        subclass: subclasses[slot],
        protocol: protocols[slot],
    });
    Ok(interfaces.collect())
}

/// Where an endpoint stands in the table: OUT endpoints first, then IN.
fn slot(address: u8) -> usize {
    usize::from((address & 0x80) >> 3 | (address & 0x0f))
}

fn encode_endpoints(endpoints: &[Endpoint], out: &mut Vec<u8>) {
    let mut types = [NO_ENDPOINT; SLOTS];
    let mut intervals = [0; SLOTS];
    let mut interfaces = [0; SLOTS];
    let mut sizes = [0_u16; SLOTS];
    for address in [0x00, 0x80] {
        types[slot(address)] = TransferType::Control as u8;
    }
    for endpoint in endpoints {
        let slot = slot(endpoint.address);
        types[slot] = endpoint.transfer as u8;
        intervals[slot] = endpoint.interval;
        interfaces[slot] = endpoint.interface;
        sizes[slot] = endpoint.max_packet_size;
    }
    out.extend(types);
    out.extend(intervals);
    out.extend(interfaces);
    out.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
}

fn decode_endpoints(fields: &mut Fields<'_>) -> Result<Vec<Endpoint>, Fault> {
    let types = fields.array::<SLOTS>()?;
    let intervals = fields.array::<SLOTS>()?;
    let interfaces = fields.array::<SLOTS>()?;
    let mut endpoints = Vec::new();
    for slot in 0..SLOTS {
        let max_packet_size = fields.u16()?;
        let number = slot as u8 & 0x0f;
        if types[slot] == NO_ENDPOINT || number == 0 {
            continue;
        }
        endpoints.push(Endpoint {
            address: (slot as u8 & 0x10) << 3 | number,
            transfer: TransferType::try_from(types[slot])
                .map_err(|value| Fault::Value("endpoint type", value))?,
            interval: intervals[slot],
            interface: interfaces[slot],
            max_packet_size,
        });
    }
    Ok(endpoints)
}

impl Control {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([
            self.endpoint,
            self.request,
            self.request_type,
            self.status as u8,
        ]);
        for word in [self.value, self.index, self.length] {
            out.extend(word.to_le_bytes());
        }
        out.extend(&self.data);
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let [endpoint, request, request_type] = fields.array()?;
        let status = data_status(fields)?;
        let (value, index, length) = (fields.u16()?, fields.u16()?, fields.u16()?);
        Ok(Self {
            endpoint,
            request,
            request_type,
            status,
            value,
            index,
            length,
            data: fields.rest().to_vec(),
        })
    }
}

impl Bulk {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.endpoint, self.status as u8]);
        out.extend((self.length as u16).to_le_bytes());
        // The stream id, for USB 3 streams alone.
        out.extend(0_u32.to_le_bytes());
        out.extend(((self.length >> 16) as u16).to_le_bytes());
        out.extend(&self.data);
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let endpoint = fields.u8()?;
        let status = data_status(fields)?;
        let low = fields.u16()?;
        let _stream = fields.u32()?;
        let high = fields.u16()?;
        Ok(Self {
            endpoint,
            status,
            length: u32::from(high) << 16 | u32::from(low),
            data: fields.rest().to_vec(),
        })
    }
}
