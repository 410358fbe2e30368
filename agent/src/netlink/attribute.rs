//! Attributes of netlink messages: read from bytes that may lie, and written.
//!
//! An attribute is a length (u16, with its own four bytes), a type (u16) and a value, padded to
//! four bytes, everything in the machine's byte order.

/// Length and type.
const HEADER: usize = 4;
/// The two upper bits of a type say that the value is nested or in network order.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

const fn align(length: usize) -> usize {
    (length + 3) & !3
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type without its flags.
    pub kind: u16,
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as a number of one byte; `None` if it is shorter.
    #[must_use]
    pub fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// The value as a number of two bytes.
    #[must_use]
    pub fn u16(&self) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.value.first_chunk()?))
    }

    /// The value as a number of four bytes.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.value.first_chunk()?))
    }

    /// The value as a number of eight bytes.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        Some(u64::from_ne_bytes(*self.value.first_chunk()?))
    }

    /// The value as an unsigned number of the size that it has: newer attributes are four or
    /// eight bytes, whichever is enough.
    #[must_use]
    pub fn uint(&self) -> Option<u64> {
        match self.value.len() {
            8 => self.u64(),
            4 => self.u32().map(u64::from),
            2 => self.u16().map(u64::from),
            1 => self.u8().map(u64::from),
            _ => None,
        }
    }

    /// The value as a signed number of the size that it has.
    #[must_use]
    pub fn sint(&self) -> Option<i64> {
        match self.value.len() {
            8 => Some(i64::from_ne_bytes(*self.value.first_chunk()?)),
            4 => Some(i32::from_ne_bytes(*self.value.first_chunk()?).into()),
            2 => Some(i16::from_ne_bytes(*self.value.first_chunk()?).into()),
            1 => Some(i8::from_ne_bytes(*self.value.first_chunk()?).into()),
            _ => None,
        }
    }

    /// The value as text up to its first zero; `None` if it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).ok()
    }

    /// The attributes that the value consists of.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// The attributes in some bytes. Ends at the first one that does not fit, and says so by
/// [`Attributes::is_damaged`].
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    damaged: bool,
}

impl<'a> Attributes<'a> {
    /// Reads attributes from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, damaged: false }
    }

    /// Whether the bytes that were read so far ended within an attribute.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The first attribute of this type.
    #[must_use]
    pub fn find(mut self, kind: u16) -> Option<Attribute<'a>> {
        self.by_ref().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        // Fewer bytes than a header are padding at most.
        let Some(header) = self.rest.first_chunk::<HEADER>() else {
            self.damaged |= self.rest.iter().any(|byte| *byte != 0);
            self.rest = &[];
            return None;
        };
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let Some(value) = self.rest.get(HEADER..length) else {
            self.damaged = true;
            self.rest = &[];
            return None;
        };
        self.rest = self.rest.get(align(length)..).unwrap_or(&[]);
        Some(Attribute { kind, value })
    }
}

/// A message's payload, or an attribute's value, being written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// Starts with the header that the message's family has before its attributes.
    #[must_use]
    pub fn new(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    /// Adds an attribute.
    ///
    /// # Panics
    /// When the value is longer than an attribute can be.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(HEADER + value.len()).expect("requests are short");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(align(self.0.len()), 0);
        self
    }

    /// Adds an attribute with a text and the zero at its end.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.with(kind, &value)
    }

    /// Adds an attribute with a number of four bytes.
    #[must_use]
    pub fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Adds an attribute that consists of attributes.
    #[must_use]
    pub fn with_nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
