//! A publication as frames: basic.publish, the content's header, the body.

use super::method::Call;
use super::{CHANNEL, Session, frame};
use crate::bytes::Writer;
use crate::publication::Publication;

const CLASS_BASIC: u16 = 60;
// Which properties follow, a bit each.
const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;

/// All of its frames, to be written at once.
pub(super) fn frames<W>(publication: &Publication, session: &Session<W>) -> Vec<u8> {
    let publish = Call::Publish {
        exchange: &session.exchange,
        routing_key: &publication.routing_key,
        mandatory: session.mandatory,
    };
    let mut frames = publish.frame();
    let header = header(publication, session.persistent);
    frames.extend(frame::content(CHANNEL, &header, &publication.body, session.frame_max));
    frames
}

fn header(publication: &Publication, persistent: bool) -> Vec<u8> {
    let mut flags = DELIVERY_MODE;
    let mut properties = Writer::default();
    if let Some(content_type) = &publication.content_type {
        flags |= CONTENT_TYPE;
        properties.short(content_type);
    }
    if !publication.headers.is_empty() {
        flags |= HEADERS;
        let mut table = Writer::default();
        for (name, value) in &publication.headers {
            table.short(name).u8(b'S').long(value.as_bytes());
        }
        properties.long(&table.0);
    }
    properties.u8(if persistent { 2 } else { 1 });
    if let Some(id) = &publication.id {
        flags |= MESSAGE_ID;
        properties.short(id);
    }
    if let Some(timestamp) = publication.timestamp {
        flags |= TIMESTAMP;
        properties.u64(timestamp);
    }
    let mut header = Writer::default();
    let length = u64::try_from(publication.body.len()).unwrap_or(u64::MAX);
    header.u16(CLASS_BASIC).u16(0).u64(length).u16(flags).raw(&properties.0);
    header.0
}
