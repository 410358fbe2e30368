//! Many fields in one call: `nvmlDeviceGetFieldValues` with an array that is kept.
//!
//! Values are matched by position, since drivers from 580.82 on number fields 251 to 273
//! differently from the headers before. What a value means is told by its type, which one driver
//! branch (545) reports wrongly for the memory temperature: see [`Number::as_small`].

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::library::call;
use super::{Code, Handle, Library};

/// As scope: the sum over all NVLinks.
pub(in crate::collectors::gpu) const ALL_LINKS: u32 = u32::MAX;

/// How a driver numbers fields 251 to 273.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::collectors::gpu) enum Numbering {
    /// As the headers of CUDA 12: throttle times at 251 to 253.
    #[default]
    Cuda12,
    /// As drivers do from 580.82 on: throttle times and power sync at 269 to 273, what had 256
    /// to 273 at 251 to 268.
    Cuda13,
}

impl Numbering {
    /// By the driver's version; one that cannot be read counts as old.
    pub(in crate::collectors::gpu) fn of_driver(version: &str) -> Self {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let known = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if known >= (580, 82) { Self::Cuda13 } else { Self::Cuda12 }
    }

    /// The driver's number of a field that CUDA 12 numbers so.
    pub(in crate::collectors::gpu) fn id(self, field: u32) -> u32 {
        match (self, field) {
            (Self::Cuda13, 251..=255) => field + 18,
            (Self::Cuda13, 256..=273) => field - 5,
            _ => field,
        }
    }
}

/// A value as it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::collectors::gpu) struct Number {
    value: Typed,
    /// The first four bytes, whatever the type says.
    low: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Typed {
    Double(f64),
    Unsigned32(u32),
    Unsigned64(u64),
    Signed(i64),
}

impl Number {
    /// The value; `None` for NVML's "not available" and for what is not finite.
    #[expect(clippy::cast_precision_loss, reason = "counters beyond 2^53 are told as near as f64")]
    pub(in crate::collectors::gpu) fn value(self) -> Option<f64> {
        match self.value {
            Typed::Double(v) => v.is_finite().then_some(v),
            Typed::Unsigned32(v) => (v != u32::MAX).then_some(f64::from(v)),
            Typed::Unsigned64(v) => (v != u64::MAX && v != u64::from(u32::MAX)).then_some(v as f64),
            Typed::Signed(v) => Some(v as f64),
        }
    }

    /// A value known to be small and not negative, whatever its type claims to be.
    pub(in crate::collectors::gpu) fn as_small(self) -> u32 {
        self.low
    }

    /// Whether it is wide enough to count bytes.
    pub(in crate::collectors::gpu) fn is_64_bits(self) -> bool {
        !matches!(self.value, Typed::Unsigned32(_))
    }
}

/// Fields to be read together.
pub(in crate::collectors::gpu) struct FieldBatch {
    values: Vec<sys::nvmlFieldValue_t>,
    numbering: Numbering,
}

// SAFETY: the array holds plain numbers; nothing in it points anywhere.
unsafe impl Send for FieldBatch {}

impl FieldBatch {
    /// An empty batch for drivers of that numbering.
    pub(in crate::collectors::gpu) fn new(numbering: Numbering) -> Self {
        Self { values: Vec::new(), numbering }
    }

    /// Starts again without fields.
    pub(in crate::collectors::gpu) fn clear(&mut self) {
        self.values.clear();
    }

    /// Adds a field by CUDA 12's number; scope is the link, the power domain, or 0.
    pub(in crate::collectors::gpu) fn push(&mut self, field: u32, scope: u32) {
        self.values.push(sys::nvmlFieldValue_t {
            fieldId: self.numbering.id(field),
            scopeId: scope,
            timestamp: 0,
            latencyUsec: 0,
            valueType: 0,
            nvmlReturn: 0,
            value: sys::nvmlValue_t { ullVal: 0 },
        });
    }

    pub(in crate::collectors::gpu) fn len(&self) -> usize {
        self.values.len()
    }

    /// Reads `range` of the fields.
    ///
    /// # Errors
    /// NVML's code when the call as a whole failed; each field has its own beside it.
    pub(in crate::collectors::gpu) fn read(
        &mut self,
        library: &Library,
        device: Handle,
        range: std::ops::Range<usize>,
    ) -> Result<(), Code> {
        let values = &mut self.values[range];
        for value in &mut *values {
            // What a driver leaves untouched must not look like an answer.
            value.nvmlReturn = Code(999).0;
            value.value.ullVal = 0;
        }
        let count = i32::try_from(values.len()).map_err(|_| Code::INVALID_ARGUMENT)?;
        call!(library, nvmlDeviceGetFieldValues(library.device(device), count, values.as_mut_ptr()))
    }

    /// The field at this position of the last [`FieldBatch::read`].
    ///
    /// # Errors
    /// The field's own code.
    pub(in crate::collectors::gpu) fn get(&self, index: usize) -> Result<Number, Code> {
        let field = self.values.get(index).ok_or(Code::INVALID_ARGUMENT)?;
        Code::check(field.nvmlReturn)?;
        // SAFETY: all members of the union are plain numbers, for which any bits are a value,
        // and all its bytes were written when it was zeroed.
        let (value, low) = unsafe {
            let value = match field.valueType {
                0 => Typed::Double(field.value.dVal),
                1 => Typed::Unsigned32(field.value.uiVal),
                2 | 3 => Typed::Unsigned64(field.value.ullVal),
                4 => Typed::Signed(field.value.sllVal),
                5 => Typed::Signed(field.value.siVal.into()),
                6 => Typed::Unsigned32(field.value.usVal.into()),
                _ => return Err(Code::ARGUMENT_VERSION_MISMATCH),
            };
            (value, field.value.uiVal)
        };
        Ok(Number { value, low })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_renumbered_from_580_82_on() {
        for (version, want) in [
            ("550.163.01", 251),
            ("575.57", 251),
            ("580.65.06", 251),
            ("580.82.07", 269),
            ("580.95.05", 269),
            ("610.1", 269),
            ("", 251),
            ("r?", 251),
        ] {
            assert_eq!(Numbering::of_driver(version).id(251), want, "{version}");
        }
        let new = Numbering::Cuda13;
        assert_eq!(
            [83, 250, 255, 256, 273, 274].map(|id| new.id(id)),
            [83, 250, 273, 251, 268, 274]
        );
    }

    #[test]
    fn sentinels_are_no_values() {
        let number = |value| Number { value, low: 0 }.value();
        assert_eq!(number(Typed::Unsigned32(u32::MAX)), None);
        assert_eq!(number(Typed::Unsigned64(u64::MAX)), None);
        assert_eq!(number(Typed::Unsigned64(u32::MAX.into())), None);
        assert_eq!(number(Typed::Double(f64::NAN)), None);
        assert_eq!(number(Typed::Signed(-2)), Some(-2.0));
        assert_eq!(number(Typed::Unsigned64(7)), Some(7.0));
    }
}
