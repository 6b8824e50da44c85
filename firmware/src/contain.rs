//! A panic that ends nothing but what panicked.
//!
//! A panic in pid 1 is a reboot, and one in a worker ends the worker: their
//! hooks see to it, before anything could catch it. What works on a text from
//! outside with other people's code runs [`contained`], and the hooks look at
//! [`is_contained`] first.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns, or nothing if it panics. It must not leave anything
/// behind that others see half-done.
pub fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outer = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    CONTAINED.set(outer);
    outcome
}

/// Whether a panic of this thread would be contained.
pub fn is_contained() -> bool {
    CONTAINED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_what_panicked_and_no_more() {
        assert_eq!(contained(|| 7), Some(7));
        let inside = contained(|| -> u8 {
            assert!(is_contained());
            panic!("on purpose");
        });
        assert_eq!(inside, None);
        assert!(!is_contained());
    }
}
