//! The messages, as types.

use super::Capabilities;

/// A message with the id that joins a request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Chosen by the usb-guest; 0 where no answer is expected.
    pub id: u64,
    /// What is said.
    pub message: Message,
}

/// All messages that a device with control, bulk and isochronous endpoints
/// needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first message of both ends.
    Hello {
        /// What the sender calls itself, at most 63 bytes.
        version: String,
        /// What the sender can do.
        capabilities: Capabilities,
    },
    /// The device is there. Interfaces and endpoints were told before.
    DeviceConnect(DeviceConnect),
    /// The device is gone.
    DeviceDisconnect,
    /// The guest resets the device.
    Reset,
    /// The interfaces of the active configuration, at most 32.
    InterfaceInfo(Vec<Interface>),
    /// The endpoints of the active alternate settings, without endpoint 0.
    EndpointInfo(Vec<Endpoint>),
    /// The guest selects a configuration.
    SetConfiguration {
        /// bConfigurationValue.
        configuration: u8,
    },
    /// The guest asks for the configuration.
    GetConfiguration,
    /// The answer to both.
    ConfigurationStatus {
        /// Whether it went well.
        status: Status,
        /// The active configuration.
        configuration: u8,
    },
    /// The guest selects an alternate setting.
    SetAltSetting {
        /// bInterfaceNumber.
        interface: u8,
        /// bAlternateSetting.
        setting: u8,
    },
    /// The guest asks for the alternate setting.
    GetAltSetting {
        /// bInterfaceNumber.
        interface: u8,
    },
    /// The answer to both.
    AltSettingStatus {
        /// Whether it went well.
        status: Status,
        /// bInterfaceNumber.
        interface: u8,
        /// The active alternate setting.
        setting: u8,
    },
    /// The guest wants isochronous packets, from now on and without asking for
    /// each.
    StartIsoStream {
        /// Its address.
        endpoint: u8,
        /// Packets in one of the transfers that the usb-host should submit.
        packets_per_transfer: u8,
        /// How many transfers it should keep in flight.
        transfers: u8,
    },
    /// The guest wants no more of them.
    StopIsoStream {
        /// Its address.
        endpoint: u8,
    },
    /// The answer to both.
    IsoStreamStatus {
        /// Whether it went well; a stall means that the stream is stopped.
        status: Status,
        /// Its address.
        endpoint: u8,
    },
    /// The guest takes back the transfer that has this packet's id.
    CancelDataPacket,
    /// A control transfer: the request, or its answer.
    Control(Control),
    /// A bulk transfer: the request, or its answer.
    Bulk(Bulk),
    /// One isochronous packet.
    Iso {
        /// Its address.
        endpoint: u8,
        /// Whether it went well.
        status: Status,
        /// What it carries.
        data: Vec<u8>,
    },
    /// A message of a type that is of no use here: filters, interrupt
    /// endpoints, streams, buffered bulk.
    Other {
        /// The type number.
        kind: u32,
    },
}

/// The device, from its device descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of USB 2.0 table 9-8")]
pub struct DeviceConnect {
    pub speed: Speed,
    pub class: u8,
    pub subclass: u8,
    pub protocol: u8,
    pub vendor: u16,
    pub product: u16,
    /// bcdDevice.
    pub release: u16,
}

/// An interface, from its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of USB 2.0 table 9-12")]
pub struct Interface {
    pub number: u8,
    pub class: u8,
    pub subclass: u8,
    pub protocol: u8,
}

/// An endpoint, from its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The number, with bit 7 set for IN.
    pub address: u8,
    /// What kind of transfers it takes.
    pub transfer: TransferType,
    /// Time between two packets, in microframes at high speed, else in frames.
    pub interval: u8,
    /// The interface that it belongs to.
    pub interface: u8,
    /// Bytes in one packet, all transactions of a microframe together.
    pub max_packet_size: u16,
}

/// A control transfer. A request to a device (IN) has no data in the request,
/// one from it (OUT) none in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// 0x80 for IN, 0 for OUT.
    pub endpoint: u8,
    /// bRequest.
    pub request: u8,
    /// bmRequestType.
    pub request_type: u8,
    /// In the answer: whether it went well.
    pub status: Status,
    /// wValue.
    pub value: u16,
    /// wIndex.
    pub index: u16,
    /// In the request wLength, in the answer the bytes that were moved.
    pub length: u16,
    /// The data stage.
    pub data: Vec<u8>,
}

/// A bulk transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Its address.
    pub endpoint: u8,
    /// In the answer: whether it went well.
    pub status: Status,
    /// In the request the bytes wanted, in the answer the bytes that were moved.
    pub length: u32,
    /// What was moved.
    pub data: Vec<u8>,
}

/// A byte that stands for one of a few cases.
macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$case_doc])* $case = $value,)*
        }

        impl TryFrom<u8> for $name {
            type Error = u8;

            fn try_from(value: u8) -> Result<Self, u8> {
                match value {
                    $($value => Ok(Self::$case),)*
                    other => Err(other),
                }
            }
        }
    };
}

byte_enum! {
    /// How a transfer ended.
    Status {
        /// It went well.
        Success = 0,
        /// It was taken back.
        Cancelled = 1,
        /// There is no such endpoint, packet type or length.
        Invalid = 2,
        /// It failed on the bus.
        IoError = 3,
        /// The device refused it.
        Stall = 4,
        /// It took too long.
        Timeout = 5,
        /// The device sent more than was asked for.
        Babble = 6,
    }
}

byte_enum! {
    /// The speed at which a device works.
    Speed {
        /// 1.5 Mbit/s.
        Low = 0,
        /// 12 Mbit/s.
        Full = 1,
        /// 480 Mbit/s.
        High = 2,
        /// 5 Gbit/s.
        Super = 3,
    }
}

byte_enum! {
    /// USB's four kinds of transfer; the numbers are those of bmAttributes.
    TransferType {
        /// Commands and their answers.
        Control = 0,
        /// A fixed share of the bus, without repetition.
        Isochronous = 1,
        /// What the bus has left, without loss.
        Bulk = 2,
        /// Small and seldom.
        Interrupt = 3,
    }
}
