//! How the fields of a message are read and written: one module per kind, and the macro that makes messages of them.

pub(super) use bytes::Bytes as Source;

/// Declares a message: `NUMBER field: Type as kind`, the kind being a module of [`kind`].
macro_rules! message {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$item:ident: $bound:path>)? {
            $($(#[$field_doc:meta])* $($number:literal)|+ $field:ident: $type:ty as $kind:ident,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name $(<$item>)? {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Fields that are not known here, as they were on the wire.
            pub unknown: Vec<u8>,
        }

        impl $(<$item>)? Default for $name $(<$item>)? {
            fn default() -> Self {
                $name { $($field: Default::default(),)* unknown: Vec::new() }
            }
        }

        impl $(<$item: $bound>)? $crate::model::Message for $name $(<$item>)? {
            fn take(&mut self, field: &$crate::wire::Field<'_>, source: &$crate::model::Source) -> bool {
                match field.number {
                    $($($number)|+ => $crate::model::kind::$kind::take(&mut self.$field, field, source),)*
                    _ => false,
                }
            }

            fn unknown(&mut self) -> &mut Vec<u8> {
                &mut self.unknown
            }

            fn put(&self, out: &mut Vec<u8>) {
                $($crate::model::kind::$kind::put(&self.$field, $crate::model::field::first(&[$($number),+]), out);)*
                out.extend_from_slice(&self.unknown);
            }
        }
    };
}
pub(super) use message;

/// The number under which a field is written; a choice writes its own.
pub(super) const fn first(numbers: &[u32]) -> u32 {
    numbers[0]
}

/// The kinds. `take` answers `false` for a wire type that is not the kind's; `put` leaves out what equals the default.
pub(super) mod kind {
    /// A kind of number: its wire type, and the way there and back.
    macro_rules! number {
        ($name:ident, $type:ty, $wire:ident, $from:expr, $into:expr) => {
            pub mod $name {
                use crate::model::Source;
                use crate::wire::{Field, Value, put_tag};

                pub fn take(to: &mut $type, field: &Field<'_>, _: &Source) -> bool {
                    let Value::$wire(raw) = field.value else { return false };
                    *to = $from(raw);
                    true
                }

                pub fn put(value: &$type, number: u32, out: &mut Vec<u8>) {
                    if *value != <$type>::default() {
                        put_tag(out, number, wire_type::$wire);
                        put_raw::$wire(out, $into(*value));
                    }
                }

                use super::{put_raw, wire_type};
            }
        };
    }

    #[allow(non_upper_case_globals)] // named as the variants of `Value`
    mod wire_type {
        pub const Varint: u8 = 0;
        pub const Fixed64: u8 = 1;
        pub const Fixed32: u8 = 5;
    }

    #[allow(non_snake_case)] // named as the variants of `Value`
    mod put_raw {
        pub fn Varint(out: &mut Vec<u8>, value: u64) {
            crate::wire::put_varint(out, value);
        }

        pub fn Fixed64(out: &mut Vec<u8>, value: u64) {
            out.extend_from_slice(&value.to_le_bytes());
        }

        pub fn Fixed32(out: &mut Vec<u8>, value: u32) {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    number!(uint32, u32, Varint, |raw| raw as u32, u64::from);
    number!(enumeration, i32, Varint, |raw| raw as i32, |value| i64::from(value) as u64);
    number!(boolean, bool, Varint, |raw| raw != 0, u64::from);
    number!(sint32, i32, Varint, |raw| crate::walk::unzigzag(raw) as i32, |value: i32| {
        u64::from((value << 1 ^ value >> 31) as u32)
    });
    number!(fixed64, u64, Fixed64, |raw| raw, |value| value);
    number!(double, f64, Fixed64, f64::from_bits, f64::to_bits);
    number!(fixed32, u32, Fixed32, |raw| raw, |value| value);

    /// A double that tells zero from absent.
    pub mod optional_double {
        use crate::model::Source;
        use crate::wire::{Field, Value, put_tag};

        pub fn take(to: &mut Option<f64>, field: &Field<'_>, _: &Source) -> bool {
            let Value::Fixed64(bits) = field.value else { return false };
            *to = Some(f64::from_bits(bits));
            true
        }

        pub fn put(value: &Option<f64>, number: u32, out: &mut Vec<u8>) {
            if let Some(value) = value {
                put_tag(out, number, 1);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
    }

    pub mod bytes {
        use crate::model::Source;
        use crate::wire::{Field, Value, put_bytes};

        pub fn take(to: &mut Source, field: &Field<'_>, source: &Source) -> bool {
            let taken = matches!(field.value, Value::Bytes(_));
            if taken {
                *to = source.slice(field.body());
            }
            taken
        }

        pub fn put(value: &Source, number: u32, out: &mut Vec<u8>) {
            if !value.is_empty() {
                put_bytes(out, number, value);
            }
        }
    }

    pub mod text {
        use crate::model::{Source, Text};
        use crate::wire::Field;

        pub fn take(to: &mut Text, field: &Field<'_>, source: &Source) -> bool {
            super::bytes::take(to.bytes_mut(), field, source)
        }

        pub fn put(value: &Text, number: u32, out: &mut Vec<u8>) {
            super::bytes::put(value.as_bytes(), number, out);
        }
    }

    pub mod message {
        use crate::model::{Message, Source, put_field};
        use crate::wire::{Field, Value};

        pub fn take<M: Message>(to: &mut M, field: &Field<'_>, source: &Source) -> bool {
            let taken = matches!(field.value, Value::Bytes(_));
            if taken {
                to.read(source, field.body());
            }
            taken
        }

        /// Always written, as the SDKs and the Collector do.
        pub fn put<M: Message>(value: &M, number: u32, out: &mut Vec<u8>) {
            put_field(out, number, value);
        }
    }

    pub mod messages {
        use crate::model::{Message, Source, put_field};
        use crate::wire::Field;

        pub fn take<M: Message>(to: &mut Vec<M>, field: &Field<'_>, source: &Source) -> bool {
            let mut message = M::default();
            let taken = super::message::take(&mut message, field, source);
            if taken {
                to.push(message);
            }
            taken
        }

        pub fn put<M: Message>(values: &[M], number: u32, out: &mut Vec<u8>) {
            values.iter().for_each(|value| put_field(out, number, value));
        }
    }

    /// Attributes.
    pub mod pairs {
        use crate::model::{Map, Source};
        use crate::wire::Field;

        pub fn take(to: &mut Map, field: &Field<'_>, source: &Source) -> bool {
            super::messages::take(&mut to.0, field, source)
        }

        pub fn put(value: &Map, number: u32, out: &mut Vec<u8>) {
            super::messages::put(&value.0, number, out);
        }
    }

    /// An `AnyValue` that may be absent.
    pub mod optional_value {
        use crate::model::{AnyValue, Source};
        use crate::wire::{Field, Value, put_message};

        pub fn take(to: &mut Option<AnyValue>, field: &Field<'_>, source: &Source) -> bool {
            let taken = matches!(field.value, Value::Bytes(_));
            if taken {
                *to = Some(AnyValue::read(source, field.body()));
            }
            taken
        }

        pub fn put(value: &Option<AnyValue>, number: u32, out: &mut Vec<u8>) {
            if let Some(value) = value {
                put_message(out, number, |out| value.put(out));
            }
        }
    }

    /// Packed lists; lists that were not packed are read too.
    macro_rules! packed {
        ($name:ident, $type:ty, $single:ident, $read:expr, $write:expr) => {
            pub mod $name {
                use crate::model::Source;
                use crate::wire::{Field, Value, put_message};

                pub fn take(to: &mut Vec<$type>, field: &Field<'_>, _: &Source) -> bool {
                    match field.value {
                        Value::Bytes(packed) => $read(to, packed),
                        Value::$single(_) => $read(to, &$write(field.value.number())),
                        _ => return false,
                    }
                    true
                }

                pub fn put(values: &[$type], number: u32, out: &mut Vec<u8>) {
                    if !values.is_empty() {
                        put_message(out, number, |out| {
                            values.iter().for_each(|value| out.extend_from_slice(&$write(super::bits(*value))));
                        });
                    }
                }
            }
        };
    }

    /// A number as the 64 bits that are written.
    fn bits(value: impl Bits) -> u64 {
        value.bits()
    }

    trait Bits {
        fn bits(self) -> u64;
    }

    impl Bits for u64 {
        fn bits(self) -> u64 {
            self
        }
    }

    impl Bits for f64 {
        fn bits(self) -> u64 {
            self.to_bits()
        }
    }

    fn eights(packed: &[u8]) -> impl Iterator<Item = u64> {
        packed.chunks_exact(8).filter_map(|chunk| Some(u64::from_le_bytes(*chunk.first_chunk()?)))
    }

    fn varint(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        crate::wire::put_varint(&mut out, value);
        out
    }

    packed!(
        packed_fixed64,
        u64,
        Fixed64,
        |to: &mut Vec<u64>, packed: &[u8]| to.extend(super::eights(packed)),
        u64::to_le_bytes
    );
    packed!(
        packed_doubles,
        f64,
        Fixed64,
        |to: &mut Vec<f64>, packed: &[u8]| to.extend(super::eights(packed).map(f64::from_bits)),
        u64::to_le_bytes
    );
    packed!(
        packed_varints,
        u64,
        Varint,
        |to: &mut Vec<u64>, packed: &[u8]| to.extend(crate::wire::packed_varints(packed).flatten()),
        super::varint
    );

    /// `as_double`, whose number is not the same everywhere, or `as_int` (6).
    pub mod choice {
        use crate::model::{Number, Source};
        use crate::wire::{Field, Value, put_tag};

        pub fn take(to: &mut Number, field: &Field<'_>, _: &Source) -> bool {
            let Value::Fixed64(bits) = field.value else { return false };
            *to = if field.number == 6 { Number::Int(bits as i64) } else { Number::Double(f64::from_bits(bits)) };
            true
        }

        pub fn put(value: &Number, number: u32, out: &mut Vec<u8>) {
            let (number, bits) = match value {
                Number::None => return,
                Number::Double(value) => (number, value.to_bits()),
                Number::Int(value) => (6, *value as u64),
            };
            put_tag(out, number, 1);
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }

    /// What a metric holds: fields 5, 7, 9, 10 and 11.
    pub mod metric_data {
        use crate::model::{MetricData, Source, put_field};
        use crate::wire::Field;

        pub fn take(to: &mut MetricData, field: &Field<'_>, source: &Source) -> bool {
            macro_rules! into {
                ($variant:ident) => {{
                    // A part that comes twice is merged; another kind replaces it.
                    if !matches!(to, MetricData::$variant(_)) {
                        *to = MetricData::$variant(Default::default());
                    }
                    let MetricData::$variant(data) = to else { return false };
                    super::message::take(data, field, source)
                }};
            }
            match field.number {
                5 => into!(Gauge),
                7 => into!(Sum),
                9 => into!(Histogram),
                10 => into!(ExponentialHistogram),
                _ => into!(Summary),
            }
        }

        pub fn put(value: &MetricData, _: u32, out: &mut Vec<u8>) {
            match value {
                MetricData::None => {}
                MetricData::Gauge(data) => put_field(out, 5, data),
                MetricData::Sum(data) => put_field(out, 7, data),
                MetricData::Histogram(data) => put_field(out, 9, data),
                MetricData::ExponentialHistogram(data) => put_field(out, 10, data),
                MetricData::Summary(data) => put_field(out, 11, data),
            }
        }
    }
}
