//! Looking only when called.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Polls what seldom has something to tell, beside something that often has, in
/// the same task: only when it has asked for that by its own waker.
///
/// Without it, each picture that a viewer gets would also ask its socket, its
/// timers and all else that could end its stream, whether there is any news.
#[derive(Debug, Default)]
pub struct Doorbell {
    /// What was given to be rung, while that waits.
    bell: Option<Arc<Bell>>,
}

#[derive(Debug)]
struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Doorbell {
    /// What `look` finds, which is called at first, after each time that it has
    /// found something, and when the waker that it got was used. It must be
    /// about the same thing each time.
    pub fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        look: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let bell = match &self.bell {
            Some(bell) if bell.task.will_wake(context.waker()) => {
                if !bell.has_rung.swap(false, Ordering::AcqRel) {
                    return Poll::Pending;
                }
                Arc::clone(bell)
            }
            _ => Arc::new(Bell {
                has_rung: AtomicBool::new(false),
                task: context.waker().clone(),
            }),
        };
        self.bell = Some(Arc::clone(&bell));
        let found = look(&mut Context::from_waker(&Waker::from(bell)));
        if found.is_ready() {
            self.bell = None;
        }
        found
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its wake-ups.
    #[derive(Default)]
    struct Task(std::sync::atomic::AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_looks_when_called_and_after_it_has_found_something() {
        let task = Arc::<Task>::default();
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        let mut doorbell = Doorbell::default();
        let mut given = None;
        let mut looks = |doorbell: &mut Doorbell, context: &mut Context<'_>, found| {
            let mut has_looked = false;
            let _ = doorbell.poll(context, |context| {
                has_looked = true;
                given = Some(context.waker().clone());
                found
            });
            (has_looked, given.clone().unwrap())
        };
        let (has_looked, bell) = looks(&mut doorbell, &mut context, Poll::Pending);
        assert!(has_looked);
        assert!(!looks(&mut doorbell, &mut context, Poll::Pending).0);
        bell.wake_by_ref();
        bell.wake_by_ref();
        assert_eq!(task.0.load(Ordering::SeqCst), 2);
        assert!(looks(&mut doorbell, &mut context, Poll::Pending).0);
        assert!(!looks(&mut doorbell, &mut context, Poll::Pending).0);
        bell.wake();
        assert!(looks(&mut doorbell, &mut context, Poll::Ready(())).0);
        assert!(looks(&mut doorbell, &mut context, Poll::Pending).0);
        assert!(!looks(&mut doorbell, &mut context, Poll::Pending).0);
        // Another task would not be woken by the old bell.
        let other = Waker::from(Arc::<Task>::default());
        let mut context = Context::from_waker(&other);
        assert!(looks(&mut doorbell, &mut context, Poll::Pending).0);
    }
}
