//! Which of several webcams to take where the user has not chosen one.

use std::cmp::{Ordering, Reverse};

use super::identity::Identity;

/// What is remembered of webcams, to prefer the right one.
#[derive(Debug, Default)]
pub(super) struct Preference {
    /// The one that delivered last.
    delivered: Option<Identity>,
    /// The one that failed last, and has not delivered since.
    failed: Option<Identity>,
}

impl Preference {
    /// Notes that a webcam has delivered.
    pub(super) fn note_delivered(&mut self, webcam: &Identity) {
        self.delivered = Some(webcam.clone());
        self.failed = None;
    }

    /// Notes that a webcam could not be brought to deliver.
    pub(super) fn note_failed(&mut self, webcam: &Identity) {
        self.failed = Some(webcam.clone());
    }

    /// Which of two webcams goes before the other: one that has not just failed,
    /// the one that delivered last, one on USB, the one at the first port.
    pub(super) fn order(&self, one: &Identity, other: &Identity) -> Ordering {
        let key = |webcam: &Identity| {
            let usb = webcam.usb.as_ref();
            (
                self.failed.as_ref() == Some(webcam),
                Reverse(self.likeness(webcam)),
                usb.is_none(),
                usb.map(|usb| usb.port().to_owned()),
            )
        };
        key(one).cmp(&key(other))
    }

    /// How much a webcam is the one that delivered last: at another port, or
    /// wholly.
    fn likeness(&self, webcam: &Identity) -> u8 {
        match &self.delivered {
            Some(delivered) if delivered == webcam => 2,
            Some(delivered) if delivered.is_like(webcam) => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The products of webcams in the order in which they are tried.
    fn order(preference: &Preference, webcams: &[Identity]) -> Vec<String> {
        let mut webcams = webcams.to_vec();
        webcams.sort_by(|one, other| preference.order(one, other));
        webcams
            .into_iter()
            .map(|webcam| webcam.to_string())
            .collect()
    }

    fn platform() -> Identity {
        Identity {
            name: "unicam".to_owned(),
            usb: None,
        }
    }

    #[test]
    fn without_a_past_the_first_port_counts_and_not_the_number() {
        let webcams = [
            platform(),
            Identity::on_usb(1, "1-1.4"),
            Identity::on_usb(2, "1-1.2"),
        ];
        let told = order(&Preference::default(), &webcams);
        assert!(
            told[0].contains("1-1.2") && told[1].contains("1-1.4"),
            "{told:?}"
        );
        assert!(told[2].contains("unicam"), "{told:?}");
    }

    #[test]
    fn the_one_that_delivered_goes_first_also_at_another_port() {
        let mut preference = Preference::default();
        preference.note_delivered(&Identity::on_usb(2, "1-1.4"));
        let first = |webcams: &[Identity]| order(&preference, webcams).remove(0);
        let other = Identity::on_usb(1, "1-1.1");
        let same = Identity::on_usb(2, "1-1.4");
        let moved = Identity::on_usb(2, "1-1.3");
        assert_eq!(first(&[other.clone(), same.clone()]), same.to_string());
        assert_eq!(first(&[other, moved.clone()]), moved.to_string());
        // Of two that are the same but for the port, the port tells.
        assert_eq!(first(&[moved, same.clone()]), same.to_string());
    }

    #[test]
    fn one_that_fails_does_not_stand_in_anothers_way() {
        let mut preference = Preference::default();
        let (one, other) = (Identity::on_usb(1, "1-1"), Identity::on_usb(2, "1-2"));
        let both = [one.clone(), other.clone()];
        preference.note_delivered(&one);
        preference.note_failed(&one);
        assert_eq!(order(&preference, &both)[0], other.to_string());
        preference.note_failed(&other);
        assert_eq!(order(&preference, &both)[0], one.to_string());
        preference.note_delivered(&other);
        assert_eq!(order(&preference, &both)[0], other.to_string());
    }
}
