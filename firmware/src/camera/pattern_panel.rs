//! The test pattern's two controls, so that all that is behind a webcam's can
//! be tried without one.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

use pinhole_link::controls::{Control, Kind};

use super::{
    controls::{BRIGHTNESS, HORIZONTAL_FLIP, Knob, Panel},
    encode::Planes,
};

/// The brightness of an unchanged pattern.
const NORMAL: i64 = 128;

/// Brightness and mirroring of the test pattern.
#[derive(Debug)]
pub(super) struct PatternPanel {
    brightness: AtomicI64,
    flipped: AtomicBool,
}

impl Default for PatternPanel {
    fn default() -> Self {
        Self {
            brightness: AtomicI64::new(NORMAL),
            flipped: AtomicBool::default(),
        }
    }
}

impl PatternPanel {
    /// Makes a picture as bright as was asked for, and mirrors it if it is to
    /// be.
    pub(super) fn apply(&self, planes: &mut Planes) {
        let brighter = self.brightness.load(Relaxed) - NORMAL;
        if brighter != 0 {
            for sample in &mut planes.y {
                // Within a byte, so nothing is cut off.
                *sample = (i64::from(*sample) + brighter).clamp(0, 255) as u8;
            }
        }
        if self.flipped.load(Relaxed) {
            let (width, chroma_width) = (usize::from(planes.width), planes.chroma_width());
            let rows = [
                (&mut planes.y, width),
                (&mut planes.cb, chroma_width),
                (&mut planes.cr, chroma_width),
            ];
            for (plane, width) in rows {
                plane
                    .chunks_exact_mut(width.max(1))
                    .for_each(<[u8]>::reverse);
            }
        }
    }
}

impl Panel for PatternPanel {
    fn name(&self) -> String {
        "test pattern".to_owned()
    }

    fn knobs(&self) -> io::Result<Vec<Knob>> {
        let knob = |id, name: &str, label: &str, kind, maximum, default, value| Knob {
            id,
            control: Control {
                name: name.to_owned(),
                label: label.to_owned(),
                kind,
                minimum: 0,
                maximum,
                step: 1,
                default,
                value,
                menu: Vec::new(),
                inactive: false,
                read_only: false,
            },
        };
        let brightness = self.brightness.load(Relaxed);
        let flipped = self.flipped.load(Relaxed).into();
        Ok(vec![
            knob(
                BRIGHTNESS,
                "brightness",
                "Brightness",
                Kind::Number,
                255,
                NORMAL,
                brightness,
            ),
            knob(
                HORIZONTAL_FLIP,
                "horizontal_flip",
                "Horizontal Flip",
                Kind::Switch,
                1,
                0,
                flipped,
            ),
        ])
    }

    fn set(&self, id: u32, value: i64) -> io::Result<()> {
        match id {
            BRIGHTNESS => self.brightness.store(value.clamp(0, 255), Relaxed),
            HORIZONTAL_FLIP => self.flipped.store(value != 0, Relaxed),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::camera::pattern::Pattern;

    #[test]
    fn a_picture_is_changed_as_asked() {
        let panel = PatternPanel::default();
        let drawn = Pattern::new(64, 48).draw(1, SystemTime::UNIX_EPOCH);
        let applied = || {
            let mut planes = drawn.clone();
            panel.apply(&mut planes);
            planes
        };
        assert_eq!(applied(), drawn);
        panel.set(BRIGHTNESS, 138).unwrap();
        assert_eq!(applied().y[0], drawn.y[0] + 10);
        panel.set(BRIGHTNESS, 255).unwrap();
        assert_eq!(applied().y[0], 255);
        panel.set(BRIGHTNESS, NORMAL).unwrap();
        panel.set(HORIZONTAL_FLIP, 1).unwrap();
        let mirrored = applied();
        assert_eq!(mirrored.y[0], drawn.y[63]);
        assert_eq!(mirrored.cb[0], drawn.cb[31]);
        assert!(panel.set(1, 1).is_err());
    }
}
