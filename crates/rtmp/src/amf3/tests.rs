use bytes::Bytes;
use proptest::prelude::*;

use super::encode::encode;
use crate::amf0::{AmfError, Value, decode_all, object};

/// `bytes` as one AMF3 value behind its marker, and an AMF0 null behind it.
fn read(bytes: &[u8]) -> (Vec<Value>, Option<AmfError>) {
    decode_all(&[&[0x11], bytes, &[5]].concat().into())
}

#[track_caller]
fn check(name: &str, bytes: &[u8], want: Value) {
    assert_eq!(read(bytes), (vec![want, Value::Null], None), "{name}");
}

fn array(items: impl IntoIterator<Item = f64>) -> Value {
    Value::StrictArray(items.into_iter().map(Value::Number).collect())
}

#[test]
fn scalars_are_read() {
    for (name, bytes, want) in [
        ("undefined", &[0][..], Value::Undefined),
        ("null", &[1], Value::Null),
        ("false", &[2], Value::Boolean(false)),
        ("true", &[3], Value::Boolean(true)),
        ("one byte", &[4, 0x7F], Value::Number(127.0)),
        ("two bytes", &[4, 0x81, 0x00], Value::Number(128.0)),
        ("three bytes", &[4, 0xFF, 0xFF, 0x7F], Value::Number(2_097_151.0)),
        ("four bytes, the last one whole", &[4, 0x80, 0xC0, 0x80, 0xFF], Value::Number(2_097_407.0)),
        ("largest integer", &[4, 0xBF, 0xFF, 0xFF, 0xFF], Value::Number(268_435_455.0)),
        ("smallest integer", &[4, 0xC0, 0x80, 0x80, 0x00], Value::Number(-268_435_456.0)),
        ("minus one", &[4, 0xFF, 0xFF, 0xFF, 0xFF], Value::Number(-1.0)),
        ("double", &[5, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0], Value::Number(1.5)),
        ("string", b"\x06\x05hi", "hi".into()),
        ("empty string", &[6, 1], "".into()),
        ("XML document", b"\x07\x05<>", "<>".into()),
        ("XML", b"\x0b\x05<>", "<>".into()),
        ("byte array", &[0x0C, 5, 0xFF, 0x00], Value::String(Bytes::from_static(&[0xFF, 0]))),
        ("date", &[8, 1, 0, 0, 0, 0, 0, 0, 0, 0], Value::Null),
    ] {
        check(name, bytes, want);
    }
}

#[test]
fn containers_are_read() {
    for (name, bytes, want) in [
        ("array", &b"\x09\x05\x01\x04\x01\x04\x02"[..], array([1.0, 2.0])),
        (
            "array with names",
            b"\x09\x03\x03k\x03\x01\x04\x09",
            object([("k", true.into()), ("0", 9.0.into())]),
        ),
        (
            "dynamic object",
            b"\x0a\x0b\x01\x03a\x04\x01\x03b\x01\x01",
            object([("a", 1.0.into()), ("b", Value::Null)]),
        ),
        ("sealed object of a class", b"\x0a\x13\x03T\x03a\x04\x01", object([("a", 1.0.into())])),
        (
            "sealed names and more",
            b"\x0a\x1b\x03T\x03a\x04\x01\x03b\x04\x02\x01",
            object([("a", 1.0.into()), ("b", 2.0.into())]),
        ),
        ("collection", b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x04\x05", array([5.0])),
        (
            "proxy",
            b"\x0a\x07\x3bflex.messaging.io.ObjectProxy\x0a\x0b\x01\x03a\x03\x01",
            object([("a", true.into())]),
        ),
        ("vector of int", &[0x0D, 5, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 7], array([-1.0, 7.0])),
        ("vector of uint", &[0x0E, 3, 0, 0xFF, 0xFF, 0xFF, 0xFF], array([4_294_967_295.0])),
        ("vector of double", &[0x0F, 3, 0, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0], array([1.5])),
        ("vector of objects", b"\x10\x05\x00\x03T\x04\x01\x04\x02", array([1.0, 2.0])),
        (
            "dictionary",
            b"\x11\x07\x00\x06\x03a\x04\x01\x04\x07\x04\x02\x01\x04\x03",
            object([("a", 1.0.into()), ("7", 2.0.into())]),
        ),
    ] {
        check(name, bytes, want);
    }
}

#[test]
fn references_lead_to_what_was_met() {
    let pair = |a: Value, b: Value| Value::StrictArray(vec![a, b]);
    for (name, bytes, want) in [
        ("string", &b"\x09\x05\x01\x06\x05hi\x06\x00"[..], pair("hi".into(), "hi".into())),
        (
            "the empty string takes no number",
            b"\x09\x05\x01\x06\x05hi\x06\x00",
            pair("hi".into(), "hi".into()),
        ),
        ("object", b"\x09\x05\x01\x0a\x0b\x01\x03a\x02\x01\x0a\x02", {
            let object = object([("a", false.into())]);
            pair(object.clone(), object)
        }),
        ("date", b"\x09\x05\x01\x08\x01\0\0\0\0\0\0\0\0\x08\x02", pair(Value::Null, Value::Null)),
        (
            "traits, and names by reference",
            b"\x09\x05\x01\x0a\x13\x03T\x03a\x04\x01\x0a\x01\x04\x02",
            pair(object([("a", 1.0.into())]), object([("a", 2.0.into())])),
        ),
        ("cycle", b"\x09\x05\x01\x09\x00\x04\x01", pair(Value::Null, 1.0.into())),
        (
            "to something that held a cycle",
            b"\x09\x05\x01\x09\x03\x01\x09\x02\x09\x02",
            pair(Value::StrictArray(vec![Value::Null]), Value::StrictArray(vec![Value::Null])),
        ),
        (
            "numbers behind a reference stay",
            b"\x09\x09\x01\x0a\x0b\x01\x03a\x06\x03x\x01\x0a\x02\x0a\x0b\x01\x03b\x06\x02\x01\x0a\x04",
            {
                let (a, b) = (object([("a", "x".into())]), object([("b", "x".into())]));
                Value::StrictArray(vec![a.clone(), a, b.clone(), b])
            },
        ),
    ] {
        check(name, bytes, want);
    }
    let (values, error) = decode_all(&Bytes::from_static(b"\x11\x06\x05hi\x11\x06\x00"));
    assert_eq!(
        (values, error),
        (vec!["hi".into()], Some(AmfError::Reference { index: 0, at: 7 })),
        "fresh tables"
    );
}

#[test]
fn faults_are_told() {
    let deep = |levels: usize| [&b"\x09\x03\x01".repeat(levels)[..], &[1]].concat();
    // Sixty-four values in an array, and that array sixty-four times over.
    let multiplied =
        [&b"\x09\x83\x01\x01"[..], b"\x09\x81\x01\x01", &[1; 64], &b"\x09\x02".repeat(64)].concat();
    for (name, bytes, want) in [
        ("cut string", &b"\x06\x41hi"[..], "cut short"),
        ("cut number", &[4, 0x80], "cut short"),
        ("array of 2^28 - 1", &[9, 0xFF, 0xFF, 0xFF, 0xFF, 1], "cut short"),
        ("vector of 2^28 - 1", &[0x0D, 0xFF, 0xFF, 0xFF, 0xFF, 0], "cut short"),
        ("dictionary of 2^28 - 1", &[0x11, 0xFF, 0xFF, 0xFF, 0xFF, 0], "cut short"),
        ("many sealed names", &[0x0A, 0xFF, 0xFF, 0xFF, 0xF3, 1], "more than 1024 properties"),
        ("no such string", &[6, 8], "AMF3 reference 4 at byte 2"),
        ("no such object", &[9, 8], "AMF3 reference 4 at byte 1"),
        ("no such traits", &[0x0A, 0x11], "AMF3 reference 4"),
        ("no such marker", &[0x12], "marker 0x12 at byte 1"),
        ("class in its own format", b"\x0a\x07\x07Foo\x01\x02", "class Foo"),
        ("a thousand levels", &deep(1000), "more than 16 levels"),
        ("references that multiply", &multiplied, "more than 4096 values"),
        (
            "a long key of a dictionary",
            &[&b"\x11\x03\x00\x0b\x90\x03"[..], &[b'a'; 1025], &[1]].concat(),
            "more than 1024 bytes",
        ),
        ("a long key", &[&b"\x0a\x0b\x01\x90\x03"[..], &[b'a'; 1025]].concat(), "more than 1024 bytes"),
    ] {
        let (values, error) = decode_all(&[&[0x11], bytes].concat().into());
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(values.is_empty() && error.contains(want), "{name}: {error}");
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan()).prop_map(Value::Number),
        any::<i32>().prop_map(|number| Value::Number(number.into())),
        any::<bool>().prop_map(Value::Boolean),
        "[a-c]{0,3}".prop_map(|text| Value::from(&*text)),
        Just(Value::Null),
        Just(Value::Undefined),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = "[a-c]{0,2}".prop_map(Bytes::from);
        prop_oneof![
            prop::collection::vec((key, inner.clone()), 0..6).prop_map(Value::Object),
            prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn values_round_trip(value in tree()) {
        prop_assert_eq!(decode_all(&encode(&value)), (vec![value], None));
    }

    #[test]
    fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(prop_oneof![0u8..0x14, any::<u8>()], 0..300)) {
        let _ = read(&bytes);
    }
}
