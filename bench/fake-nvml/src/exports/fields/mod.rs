//! `nvmlDeviceGetFieldValues`: the batch, and both generations of numbers.
//!
//! Drivers from 580.82 on number fields 251 to 273 in another way (`clocks event` times moved
//! behind the power smoothing fields). The batch is translated here; values are by the older
//! numbers, those of the header of CUDA 12.

mod value;

use std::ffi::c_int;
use std::time::{SystemTime, UNIX_EPOCH};

use nvml_wrapper_sys::bindings::{
    nvmlFieldValue_t, nvmlValue_t, nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT as SIGNED,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as LONG, nvmlValueType_t,
};

use self::value::{Batch, Value};
use super::device_functions;
use crate::call::Device;
use crate::code::Code;
use crate::number::{signed_small, small, whole};

/// The number that a field had before 580.82.
pub(crate) fn canonical(driver: (u32, u32), field: u32) -> u32 {
    if driver < (580, 82) {
        return field;
    }
    match field {
        269..=273 => field - 18,
        251..=268 => field + 5,
        _ => field,
    }
}

/// The first number that a driver does not know, going by its header's `NVML_FI_MAX`.
fn unknown_from(driver: (u32, u32)) -> u32 {
    match driver {
        (..550, _) => 197,
        (550..560, _) => 201,
        (560..570, _) => 235,
        (570..580, _) | (580, ..82) => 274,
        _ => 303,
    }
}

fn typed(value: Value) -> (nvmlValueType_t, nvmlValue_t) {
    match value {
        Value::Unsigned(value) => (UNSIGNED, nvmlValue_t { ullVal: u64::from(value) }),
        Value::Long(value) => (LONG, nvmlValue_t { ullVal: value }),
        Value::Signed(value) => (SIGNED, nvmlValue_t { sllVal: i64::from(value) }),
    }
}

/// What the scenario says instead, in the type that the field has.
fn replaced(usual: Option<Value>, by: f64) -> Value {
    match usual {
        Some(Value::Long(_)) => Value::Long(whole(by)),
        Some(Value::Signed(_)) => Value::Signed(signed_small(by)),
        Some(Value::Unsigned(_)) => Value::Unsigned(small(by)),
        None if by > f64::from(u32::MAX) => Value::Long(whole(by)),
        None if by < 0.0 => Value::Signed(signed_small(by)),
        None => Value::Unsigned(small(by)),
    }
}

fn answer(
    device: &Device<'_>,
    batch: &mut Batch<'_, '_>,
    id: u32,
    scope: u32,
) -> Result<Value, Code> {
    let effects = &device.gpu.effects;
    if let Some(code) = effects.field_codes.get(&id) {
        return Err(*code);
    }
    let driver = device.world.driver_version;
    if id == 0 || id >= unknown_from(driver) {
        return Err(Code::INVALID_ARGUMENT);
    }
    let usual = batch.value(canonical(driver, id), scope);
    match effects.field_values.get(&id) {
        Some(by) => Ok(replaced(usual.ok(), *by)),
        None => usual,
    }
}

#[expect(clippy::disallowed_methods, reason = "NVML stamps fields with the wall clock")]
fn microseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(0)
}

device_functions! {
    nvmlDeviceGetFieldValues(count: c_int, values: *mut nvmlFieldValue_t) |device| {
        let count = usize::try_from(count).map_err(|_| Code::INVALID_ARGUMENT)?;
        if values.is_null() || count == 0 {
            return Err(Code::INVALID_ARGUMENT);
        }
        let timestamp = microseconds();
        let mut batch = Batch::new(device);
        for field in std::slice::from_raw_parts_mut(values, count) {
            let value = answer(device, &mut batch, field.fieldId, field.scopeId);
            field.timestamp = timestamp;
            field.latencyUsec = 0;
            match value {
                Ok(value) => {
                    (field.valueType, field.value) = typed(value);
                    field.nvmlReturn = Code::SUCCESS.0;
                }
                Err(code) => field.nvmlReturn = code.0,
            }
        }
        Ok(())
    }
}
