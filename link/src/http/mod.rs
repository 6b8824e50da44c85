//! HTTP/1 as both ends serve it.
//!
//! Requests are parsed and finite responses written by `async-h1`, which is
//! let near bytes only after [`head`] has bounded and checked them: fed
//! directly, one byte of UTF-8 in a header panics it and a line without an end
//! grows its buffer without limit. The endless responses, camera streams, are
//! written by [`multipart`] straight to the connection.

mod connection;
pub mod head;
mod request;

pub use connection::{BodyError, Connection};
pub use head::{HeadError, HeadLimits};
pub use http_types::{Body, Method, Response, StatusCode};
pub use request::{Request, Version};

use crate::multipart::{self, Framing};

/// The head of a camera stream's response. It is sent at once, before there is
/// any frame: clients give up on a silent URL.
pub fn stream_head(framing: Framing) -> String {
    stream_head_with(framing, multipart::CONTENT_TYPE, "")
}

/// The same with another type, and with more header fields, each with its CR LF.
pub fn stream_head_with(framing: Framing, content_type: &str, fields: &str) -> String {
    let transfer_encoding = match framing {
        Framing::Chunked => "Transfer-Encoding: chunked\r\n",
        Framing::CloseDelimited => "",
    };
    format!(
        "HTTP/1.1 200 OK\r\n\
         Content-Type: {content_type}\r\n\
         Cache-Control: {NO_STORE}\r\n\
         Pragma: no-cache\r\n\
         Expires: 0\r\n\
         X-Accel-Buffering: no\r\n\
         Connection: close\r\n\
         {fields}\
         {transfer_encoding}\
         \r\n"
    )
}

/// `Cache-Control` of whatever shows a camera's present.
pub const NO_STORE: &str = "no-store, no-cache, must-revalidate, max-age=0";
