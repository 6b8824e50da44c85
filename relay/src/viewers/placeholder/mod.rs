//! The picture that viewers get where there is none: it says what is missing.

mod picture;
mod text;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use pinhole_link::{Frame, multipart::Part};

/// The size where no camera's picture has told one.
const DEFAULT_SIZE: Size = Size {
    width: 640,
    height: 480,
};

/// Most pictures that are kept. Cameras that are offline need one each.
const MAX_KEPT: usize = 64;

/// Most pixels of a picture that is drawn: more than any webcam has. A camera can
/// claim 4 billion, which would take minutes and fill the memory.
const MAX_PIXELS: u32 = 1 << 24;

/// Width and height of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Size {
    /// Width in pixels.
    pub(crate) width: u16,
    /// Height in pixels.
    pub(crate) height: u16,
}

/// What a placeholder tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Notice {
    /// The camera.
    pub(super) title: String,
    /// What is missing, in words.
    pub(super) words: String,
}

/// The placeholders that were made, for all viewers who need the same.
#[derive(Debug, Default)]
pub struct Placeholders(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<HashMap<(Notice, Size), Bytes>>,
    /// Held while one is drawn, by the thread that draws. A viewer must hold
    /// nothing: it may be left waiting for its client, and all others with it.
    drawing: Mutex<()>,
}

impl Placeholders {
    /// The placeholder with `notice`, of the size of the camera's pictures,
    /// marked by `cause`.
    ///
    /// # Errors
    /// When it could not be made.
    pub(super) async fn part(
        &self,
        notice: &Notice,
        size: Option<Size>,
        cause: &'static str,
    ) -> io::Result<Part> {
        let jpeg = self.jpeg(notice, drawable(size)).await?;
        Ok(Part {
            camera: None,
            frame: Frame::new(jpeg, SystemTime::now(), 0),
            placeholder: Some(cause),
        })
    }

    async fn jpeg(&self, notice: &Notice, size: Size) -> io::Result<Bytes> {
        let key = (notice.clone(), size);
        if let Some(jpeg) = self.0.made(&key) {
            return Ok(jpeg);
        }
        let shared = Arc::clone(&self.0);
        // A large one takes tens of milliseconds.
        smol::unblock(move || shared.make(key)).await
    }
}

impl Shared {
    fn made(&self, key: &(Notice, Size)) -> Option<Bytes> {
        lock(&self.kept).get(key).cloned()
    }

    fn make(&self, key: (Notice, Size)) -> io::Result<Bytes> {
        let _drawing = lock(&self.drawing);
        // Whoever waited here for another to make it finds it made.
        if let Some(jpeg) = self.made(&key) {
            return Ok(jpeg);
        }
        let jpeg: Bytes = picture::jpeg(&key.0, key.1)?.into();
        let mut kept = lock(&self.kept);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, jpeg.clone());
        Ok(jpeg)
    }
}

/// Nothing under these locks can be left half-written, so a holder that
/// panicked does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size to draw in, where the camera claims `size`.
fn drawable(size: Option<Size>) -> Size {
    let pixels = |size: &Size| u32::from(size.width) * u32::from(size.height);
    size.filter(|size| pixels(size) <= MAX_PIXELS)
        .unwrap_or(DEFAULT_SIZE)
}

#[cfg(test)]
mod tests {
    use pinhole_link::jpeg;

    use super::*;

    fn part(placeholders: &Placeholders, words: &str, size: Option<Size>) -> Part {
        let notice = Notice {
            title: "porch".to_owned(),
            words: words.to_owned(),
        };
        smol::block_on(placeholders.part(&notice, size, "offline")).unwrap()
    }

    #[test]
    fn a_placeholder_is_a_whole_picture_of_the_cameras_size() {
        let placeholders = Placeholders::default();
        let odd = Size {
            width: 1283,
            height: 721,
        };
        let smallest = Size {
            width: 1,
            height: 1,
        };
        for (size, width, height) in [
            (None, 640, 480),
            (Some(odd), 1283, 721),
            (Some(smallest), 1, 1),
        ] {
            let part = part(&placeholders, "The box is offline since 14:03 UTC", size);
            let picture = jpeg::check(part.frame.jpeg()).unwrap();
            assert_eq!((picture.width, picture.height), (width, height));
            assert!(part.frame.jpeg().len() < 100_000);
        }
    }

    #[test]
    fn its_words_are_in_the_picture_and_in_a_comment() {
        let placeholders = Placeholders::default();
        let one = part(&placeholders, "No webcam", None);
        let other = part(&placeholders, "The stream starts \u{1F600} --", None);
        let comment = b"pinhole placeholder: No webcam";
        let found = |part: &Part| {
            let jpeg = part.frame.jpeg();
            jpeg.windows(comment.len()).any(|bytes| bytes == comment)
        };
        assert!(found(&one) && !found(&other));
        assert_ne!(one.frame.jpeg().len(), other.frame.jpeg().len());
    }

    #[test]
    fn the_same_is_made_once_and_few_are_kept() {
        let placeholders = Placeholders::default();
        let size = Some(Size {
            width: 16,
            height: 16,
        });
        let one = part(&placeholders, "a", size);
        let two = part(&placeholders, "a", size);
        assert_eq!(one.frame.jpeg().as_ptr(), two.frame.jpeg().as_ptr());
        for number in 0..2 * MAX_KEPT {
            part(&placeholders, &number.to_string(), size);
        }
        assert!(lock(&placeholders.0.kept).len() <= MAX_KEPT);
    }

    #[test]
    fn no_larger_picture_is_drawn_than_a_webcam_has() {
        let size = |width, height| Size { width, height };
        for (claimed, drawn) in [
            (size(3840, 2160), size(3840, 2160)),
            (size(65_500, 65_500), DEFAULT_SIZE),
            (size(65_500, 1000), DEFAULT_SIZE),
        ] {
            assert_eq!(drawable(Some(claimed)), drawn);
        }
    }

    #[test]
    fn a_viewer_that_is_left_waiting_keeps_nobody_waiting() {
        let placeholders = Placeholders::default();
        let notice = |title: &str| Notice {
            title: title.to_owned(),
            words: "away".to_owned(),
        };
        smol::block_on(async {
            let (porch, shed) = (notice("porch"), notice("shed"));
            let mut left = std::pin::pin!(placeholders.part(&porch, None, "away"));
            assert!(smol::future::poll_once(&mut left).await.is_none());
            assert!(placeholders.part(&shed, None, "away").await.is_ok());
        });
    }
}
