//! What time it is: by time servers, and by the relay's word through the
//! tunnel.

pub mod judgement;
pub mod moment;
pub mod relay_word;
