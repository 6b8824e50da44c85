//! A viewer: an HTTP client of its own make (`ureq`), which shares no code
//! with the relay that it looks at and trusts nothing but its certificate.

use std::{
    io::{self, BufRead as _, BufReader, Read},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ureq::{
    Agent, BodyReader,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// Most bytes of one part that are read.
const MAX_PART_LEN: u64 = 32 << 20;

/// How long a camera's status may take to come.
const STATUS_PATIENCE: Duration = Duration::from_secs(60);

/// Someone who looks at a relay's cameras.
#[derive(Clone, Debug)]
pub struct Viewer {
    agent: Agent,
    origin: String,
}

/// A camera's stream, part by part.
pub struct Stream {
    body: BufReader<BodyReader<'static>>,
}

/// One part of a stream, as it arrived.
#[derive(Debug)]
pub struct Part {
    /// The picture.
    pub jpeg: Vec<u8>,
    /// The capture time that the box gave it.
    pub captured: SystemTime,
    /// The box's count.
    pub sequence: u64,
    /// When its last byte was here.
    pub received: SystemTime,
    /// Why the relay drew this picture in place of a live one, where it did.
    pub placeholder: Option<String>,
}

/// What a viewer did not get.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// The relay's certificate file does not parse.
    #[error("the relay's certificate does not parse: {0}")]
    Certificate(ureq::Error),
    /// The request failed.
    #[error("GET {url}: {source}")]
    Request {
        /// The URL.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The response has another status than 200.
    #[error("GET {url}: status {status}: {body}")]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// What the response says.
        body: String,
    },
    /// The connection failed while the body was read.
    #[error("the body broke off: {0}")]
    Io(#[from] io::Error),
    /// The stream is not what it should be.
    #[error("the stream is not multipart as pinhole sends it: {0}")]
    Malformed(String),
}

impl Viewer {
    /// A viewer of the relay at `origin`, `https://HOST:PORT`, which trusts
    /// only the PEM `certificate`. It waits `patience` for an answer.
    ///
    /// # Errors
    /// When the certificate does not parse.
    pub fn new(origin: &str, certificate: &[u8], patience: Duration) -> Result<Self, ViewerError> {
        let certificate = Certificate::from_pem(certificate).map_err(ViewerError::Certificate)?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(vec![certificate])))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(patience))
            .timeout_recv_response(Some(patience))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            origin: origin.to_owned(),
        })
    }

    /// The stream of a camera. It breaks off after `longest`, so that one that
    /// hangs is not waited for for ever.
    ///
    /// # Errors
    /// When the relay answers with anything but 200.
    pub fn watch(&self, camera: &str, longest: Duration) -> Result<Stream, ViewerError> {
        let mut body = BufReader::new(self.open(&format!("/{camera}/stream"), longest)?);
        let mut line = String::new();
        body.read_line(&mut line)?;
        if line != "--pinholeframe\r\n" {
            return Err(ViewerError::Malformed(format!("it opens with {line:?}")));
        }
        Ok(Stream { body })
    }

    /// What the relay says of a camera (`/NAME/status.json`).
    ///
    /// # Errors
    /// When the relay answers with anything but 200, or no JSON.
    pub fn status(&self, camera: &str) -> Result<serde_json::Value, ViewerError> {
        let body = self.open(&format!("/{camera}/status.json"), STATUS_PATIENCE)?;
        let json = serde_json::from_reader(BufReader::new(body));
        json.map_err(|error| ViewerError::Io(error.into()))
    }

    fn open(&self, path: &str, longest: Duration) -> Result<BodyReader<'static>, ViewerError> {
        let url = format!("{}{path}", self.origin);
        let request = self.agent.get(&url).config();
        let request = request.timeout_recv_body(Some(longest)).build();
        let response = request.call().map_err(|source| {
            let url = url.clone();
            ViewerError::Request {
                url,
                source: Box::new(source),
            }
        })?;
        let status = response.status().as_u16();
        let mut body = response.into_body().into_reader();
        if status == 200 {
            return Ok(body);
        }
        let mut text = String::new();
        body.read_to_string(&mut text)?;
        Err(ViewerError::Status {
            url,
            status,
            body: text.trim().to_owned(),
        })
    }
}

impl Stream {
    /// The next part that is a live picture: what the relay draws in the place
    /// of one is passed over.
    ///
    /// # Errors
    /// As [`Self::next_part`] has them.
    pub fn next_picture(&mut self) -> Result<Part, ViewerError> {
        loop {
            let part = self.next_part()?;
            if part.placeholder.is_none() {
                return Ok(part);
            }
        }
    }

    /// The next part, a live picture or a placeholder.
    ///
    /// # Errors
    /// When the stream breaks off or is malformed: each part must have exactly
    /// the header fields that it is promised to have, and end with a boundary.
    pub fn next_part(&mut self) -> Result<Part, ViewerError> {
        let kind = self.field("Content-Type")?;
        if kind != "image/jpeg" {
            return Err(ViewerError::Malformed(format!("a part of type {kind:?}")));
        }
        let length: u64 = parse(&self.field("Content-Length")?)?;
        let captured = self.field("X-Timestamp")?;
        let (seconds, micros) = captured
            .split_once('.')
            .ok_or_else(|| ViewerError::Malformed(format!("the time {captured:?}")))?;
        let captured = UNIX_EPOCH
            + Duration::from_secs(parse(seconds)?)
            + Duration::from_micros(parse(micros)?);
        let sequence = parse(&self.field("X-Sequence")?)?;
        let placeholder = self.last_field("X-Pinhole-Placeholder")?;
        let mut jpeg = Vec::new();
        let body = (&mut self.body).take(length.min(MAX_PART_LEN));
        let read = { body }.read_to_end(&mut jpeg)?;
        let received = SystemTime::now();
        if (read as u64) < length {
            return Err(ViewerError::Malformed(format!(
                "a part of {length} bytes ends after {read}"
            )));
        }
        self.expect("\r\n")?;
        self.expect("--pinholeframe\r\n")?;
        Ok(Part {
            jpeg,
            captured,
            sequence,
            received,
            placeholder,
        })
    }

    /// The field `name` if the head has it, and the empty line that ends the
    /// head.
    fn last_field(&mut self, name: &str) -> Result<Option<String>, ViewerError> {
        let line = self.line()?;
        if line == "\r\n" {
            return Ok(None);
        }
        let value = value_of(&line, name)?;
        self.expect("\r\n")?;
        Ok(Some(value))
    }

    fn field(&mut self, name: &str) -> Result<String, ViewerError> {
        value_of(&self.line()?, name)
    }

    fn expect(&mut self, expected: &str) -> Result<(), ViewerError> {
        let line = self.line()?;
        if line == expected {
            return Ok(());
        }
        Err(ViewerError::Malformed(format!(
            "{line:?} instead of {expected:?}"
        )))
    }

    fn line(&mut self) -> Result<String, ViewerError> {
        let mut line = String::new();
        (&mut self.body).take(1024).read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(line)
    }
}

/// The value on the `line` of the field `name`.
fn value_of(line: &str, name: &str) -> Result<String, ViewerError> {
    let value = line.strip_prefix(name);
    let value = value.and_then(|rest| rest.strip_prefix(": ")?.strip_suffix("\r\n"));
    let value = value.map(str::to_owned);
    value.ok_or_else(|| ViewerError::Malformed(format!("{line:?} instead of {name}")))
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, ViewerError> {
    text.parse()
        .map_err(|_| ViewerError::Malformed(format!("{text:?} is no number")))
}
