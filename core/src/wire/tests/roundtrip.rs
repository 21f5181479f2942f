//! What is encoded decodes to itself, whatever it is and however the stream is cut.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::golden::frame;
use super::samples::{any_request, any_response};
use crate::base::error::{Detail, Error};
use crate::wire::{FrameDecoder, Hello, Kind, Request, Response};

fn body(encode: impl FnOnce(&mut Vec<u8>) -> Bytes) -> Bytes {
    let mut head = Vec::new();
    let tail = encode(&mut head);
    [&head[..], &tail[..]].concat().into()
}

fn detail_of(response: &Response) -> Option<String> {
    let Response::Failed(error) = response else { return None };
    let detail: &Detail = Error::detail(error);
    Some(format!("{detail:?} {}", error.maybe_applied()))
}

proptest! {
    #[test]
    fn requests_survive(request in any_request()) {
        let body = body(|head| request.encode(head).clone());
        prop_assert_eq!(Request::decode(request.kind(), body).unwrap(), request);
    }

    #[test]
    fn responses_survive(response in any_response()) {
        let body = body(|head| response.encode(head).clone());
        let decoded = Response::decode(response.kind(), body).unwrap();
        prop_assert_eq!(format!("{decoded:?}"), format!("{response:?}"));
        prop_assert_eq!(detail_of(&decoded), detail_of(&response));
    }

    #[test]
    fn frames_survive_however_the_stream_is_cut(
        requests in proptest::collection::vec(any_request(), 1..8),
        cuts in proptest::collection::vec(1..200_usize, 1..40),
    ) {
        let stream: Vec<u8> = (0..).zip(&requests)
            .flat_map(|(id, request)| frame(request.kind(), id, |head| request.encode(head).clone()))
            .collect();
        let mut decoder = FrameDecoder::new(1 << 20);
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (part, after) = rest.split_at(rest.len().min(*cut));
            buffer.extend_from_slice(part);
            rest = after;
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                prop_assert_eq!(frame.id, found.len() as u64);
                found.push(Request::decode(frame.kind, frame.body).unwrap());
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, requests);
    }

    #[test]
    fn any_bytes_decode_to_a_message_or_an_error(
        kind in prop::sample::select(Kind::ALL),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        // Neither panics nor reads past the end; what decodes encodes to the same bytes, so no two layouts mean one thing.
        let bytes = Bytes::from(body);
        if let Ok(request) = Request::decode(kind, bytes.clone()) {
            prop_assert_eq!(self::body(|head| request.encode(head).clone()), bytes.clone());
        }
        if let Ok(response) = Response::decode(kind, bytes.clone())
            && !matches!(response, Response::Failed(_)) {
            prop_assert_eq!(self::body(|head| response.encode(head).clone()), bytes.clone());
        }
        let _either = Hello::decode(bytes);
    }

    #[test]
    fn a_damaged_stream_gives_whole_frames_then_an_error(
        requests in proptest::collection::vec(any_request(), 1..5),
        at in any::<prop::sample::Index>(),
        damage in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut stream: Vec<u8> = (0..).zip(&requests)
            .flat_map(|(id, request)| frame(request.kind(), id, |head| request.encode(head).clone()))
            .collect();
        let at = at.index(stream.len());
        stream.iter_mut().skip(at).zip(&damage).for_each(|(byte, damage)| *byte = *damage);
        let mut buffer = BytesMut::from(&stream[..]);
        let mut decoder = FrameDecoder::new(64 << 10);
        let mut found = 0;
        while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
            prop_assert_eq!(&Request::decode(frame.kind, frame.body).unwrap(), &requests[found]);
            found += 1;
        }
        prop_assert!(buffer.capacity() <= (64 << 10) + stream.len());
    }

    #[test]
    fn a_changed_byte_of_a_message_never_panics(
        request in any_request(), response in any_response(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let mut bytes = body(|head| request.encode(head).clone()).to_vec();
        let index = at.index(bytes.len().max(1));
        bytes.iter_mut().skip(index).take(1).for_each(|byte| *byte = to);
        let _either = Request::decode(request.kind(), bytes.into());
        let mut bytes = body(|head| response.encode(head).clone()).to_vec();
        let index = at.index(bytes.len().max(1));
        bytes.iter_mut().skip(index).take(1).for_each(|byte| *byte = to);
        let _either = Response::decode(response.kind(), bytes.into());
    }
}
