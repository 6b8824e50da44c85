//! A frame's way over the wire: payloads with headers (2.4.3.3).

/// Bytes of a payload header that has a presentation time and no more.
pub const HEADER_LENGTH: usize = 6;

/// Most data of a restless frame's first payload: less than any JPEG's headers.
/// Where frames are lost, the driver may take it for a frame of its own, and one
/// that lacks no more than its end would be fit to be shown.
const RESTLESS_START: usize = 64;

/// Bits of bmHeaderInfo.
mod info {
    /// The bit that is the same in all of a frame, and not in the next.
    pub(super) const FRAME_ID: u8 = 1 << 0;
    pub(super) const END_OF_FRAME: u8 = 1 << 1;
    pub(super) const PRESENTATION_TIME: u8 = 1 << 2;
    pub(super) const SOURCE_CLOCK: u8 = 1 << 3;
    pub(super) const ERROR: u8 = 1 << 6;
    pub(super) const END_OF_HEADER: u8 = 1 << 7;
}

/// What is odd in a frame's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// The frame does not come to an end.
    NoEnd,
    /// The frame's bit changes with each payload, but for a last one that would
    /// have the first one's: with a packet lost between them, these two would
    /// look like one frame.
    RestlessId,
    /// There was an error, which the device would tell if it was asked.
    Error,
    /// Presentation time and source clock jump, the latter in a longer header.
    SenselessTimes,
}

/// A frame that is being sent, payload by payload.
#[derive(Debug)]
pub struct Payloads {
    frame: Vec<u8>,
    sent: usize,
    header: Vec<u8>,
    /// The frame's bit in its first payload.
    first_id: u8,
    quirk: Option<Quirk>,
}

impl Payloads {
    /// The payloads of `frame`, which was captured at `time` by the device's
    /// clock. `frame_id` must differ from the last frame's.
    pub fn new(frame: Vec<u8>, frame_id: bool, time: u32) -> Self {
        let id = if frame_id { info::FRAME_ID } else { 0 };
        let mut header = vec![HEADER_LENGTH as u8];
        header.push(info::END_OF_HEADER | info::PRESENTATION_TIME | id);
        header.extend(time.to_le_bytes());
        Self {
            frame,
            sent: 0,
            header,
            first_id: id,
            quirk: None,
        }
    }

    /// The same with a quirk.
    #[must_use]
    pub fn with(mut self, quirk: Quirk) -> Self {
        self.quirk = Some(quirk);
        match quirk {
            Quirk::NoEnd | Quirk::RestlessId => {}
            Quirk::Error => self.header[1] |= info::ERROR,
            Quirk::SenselessTimes => {
                let time = [2, 3, 4, 5].map(|at| self.header[at]);
                // Knuth's multiplicative hash: no two frames are near each other.
                let senseless = u32::from_le_bytes(time).wrapping_mul(0x9e37_79b1);
                self.header[2..].copy_from_slice(&senseless.to_le_bytes());
                self.header.extend(senseless.swap_bytes().to_le_bytes());
                self.header.extend([0xff; 2]);
                self.header[0] = self.header.len() as u8;
                self.header[1] |= info::SOURCE_CLOCK;
            }
        }
        self
    }

    /// The next payload, of at most `max_bytes` with its header; `None` after
    /// the frame's end, and always where a header does not fit.
    pub fn next(&mut self, max_bytes: usize) -> Option<Vec<u8>> {
        let unsent = &self.frame[self.sent..];
        let is_restless = self.quirk == Some(Quirk::RestlessId);
        let mut room = max_bytes.saturating_sub(self.header.len());
        if is_restless && self.sent == 0 {
            room = room.min(RESTLESS_START);
        }
        let data = &unsent[..unsent.len().min(room)];
        if data.is_empty() {
            return None;
        }
        let is_last = data.len() == unsent.len();
        if is_restless && self.sent > 0 {
            let is_as_first = self.header[1] & info::FRAME_ID == self.first_id;
            if is_as_first || !is_last {
                self.header[1] ^= info::FRAME_ID;
            }
        }
        let mut payload = [&self.header, data].concat();
        if is_last && self.quirk != Some(Quirk::NoEnd) {
            payload[1] |= info::END_OF_FRAME;
        }
        self.sent += data.len();
        Some(payload)
    }

    /// Whether all of the frame was given out.
    pub fn is_finished(&self) -> bool {
        self.sent == self.frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_put_together_are_the_frame() {
        let frame: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
        for max_bytes in [7, 512, 10_005, 10_006, 16_384] {
            let mut payloads = Payloads::new(frame.clone(), true, 0x0403_0201);
            let mut received = Vec::new();
            let mut ended = false;
            while let Some(payload) = payloads.next(max_bytes) {
                assert!(!ended && payload.len() <= max_bytes);
                let (header, data) = payload.split_at(HEADER_LENGTH);
                assert_eq!(header[0], 6);
                assert_eq!(header[1] & !info::END_OF_FRAME, 0b1000_0101);
                assert_eq!(header[2..], [1, 2, 3, 4]);
                ended = header[1] & info::END_OF_FRAME != 0;
                received.extend_from_slice(data);
            }
            assert!(ended && payloads.is_finished());
            assert_eq!(received, frame);
        }
    }

    #[test]
    fn quirks_show_in_the_headers() {
        let headers_of = |bytes, quirk| {
            let mut payloads = Payloads::new(vec![7; bytes], true, 1).with(quirk);
            let mut headers = Vec::new();
            while let Some(payload) = payloads.next(18) {
                let length = usize::from(payload[0]);
                headers.push((payload[1], payload[2..length].to_vec()));
            }
            headers
        };
        let headers = |quirk| headers_of(20, quirk);
        let info = |quirk| headers(quirk).into_iter().map(|(info, _)| info);
        let (flags, end) = (0b1000_0100, info::END_OF_FRAME);
        assert!(info(Quirk::NoEnd).eq([flags | 1, flags | 1]));
        assert!(info(Quirk::RestlessId).eq([flags | 1, flags | end]));
        let ids = |bytes| {
            let headers = headers_of(bytes, Quirk::RestlessId);
            headers.into_iter().map(|(info, _)| info & info::FRAME_ID)
        };
        assert!(ids(12).eq([1]));
        assert!(ids(36).eq([1, 0, 0]));
        assert!(ids(48).eq([1, 0, 1, 0]));
        let mut restless = Payloads::new(vec![7; 500], true, 1).with(Quirk::RestlessId);
        let mut next = || restless.next(400).map(|payload| payload.len());
        assert_eq!([next(), next(), next()], [Some(70), Some(400), Some(48)]);
        assert!(info(Quirk::Error).eq([flags | 0x41, flags | 0x41 | end]));
        let senseless = headers(Quirk::SenselessTimes);
        assert!(
            senseless
                .iter()
                .all(|(info, times)| info & 8 != 0 && times.len() == 10)
        );
    }

    #[test]
    fn where_a_header_does_not_fit_nothing_is_lost() {
        let mut payloads = Payloads::new(vec![1, 2, 3], false, 0);
        assert_eq!(payloads.next(6), None);
        assert!(!payloads.is_finished());
        assert_eq!(payloads.next(512).map(|payload| payload.len()), Some(9));
    }
}
