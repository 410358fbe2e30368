//! Power supplies and batteries, by the files of /sys/class/power_supply.

use crate::sample::Metric;

metrics! {
    INFO = gauge("node_power_supply_info", "", "What a power supply is and how it is; always 1.");
}

/// A file of a power supply; its number divided by `divisor` is the metric's value.
#[derive(Debug)]
pub(in crate::collectors::host) struct Value {
    pub(in crate::collectors::host) file: &'static str,
    pub(in crate::collectors::host) metric: Metric,
    pub(in crate::collectors::host) divisor: f64,
}

macro_rules! values {
    ($($file:literal = ($metric:literal, $unit:literal, $help:literal) / $divisor:literal;)*) => {
        pub(in crate::collectors::host) static VALUES: &[Value] = &[$(Value {
            file: $file,
            metric: Metric::gauge($metric, $unit, $help),
            divisor: $divisor,
        }),*];
    };
}

values! {
    "authentic" = ("node_power_supply_authentic", "", "1 if a battery says that it is genuine.") / 1.0;
    "calibrate" = ("node_power_supply_calibrate", "", "1 if a battery is being calibrated.") / 1.0;
    "capacity" = ("node_power_supply_capacity", "%", "Charge of a battery in percent.") / 1.0;
    "capacity_alert_max" = ("node_power_supply_capacity_alert_max", "%", "Charge in percent above which a battery warns.") / 1.0;
    "capacity_alert_min" = ("node_power_supply_capacity_alert_min", "%", "Charge in percent below which a battery warns.") / 1.0;
    "cycle_count" = ("node_power_supply_cyclecount", "1", "Times that a battery was charged.") / 1.0;
    "online" = ("node_power_supply_online", "", "1 if a power supply delivers.") / 1.0;
    "present" = ("node_power_supply_present", "", "1 if a power supply is there.") / 1.0;
    "time_to_empty_now" = ("node_power_supply_time_to_empty_seconds", "s", "Time until a battery is empty.") / 1.0;
    "time_to_full_now" = ("node_power_supply_time_to_full_seconds", "s", "Time until a battery is full.") / 1.0;
    "current_boot" = ("node_power_supply_current_boot", "A", "Power supply: current at boot.") / 1e6;
    "current_max" = ("node_power_supply_current_max", "A", "Power supply: largest current.") / 1e6;
    "current_now" = ("node_power_supply_current_ampere", "A", "Power supply: current now.") / 1e6;
    "energy_empty" = ("node_power_supply_energy_empty", "W.h", "Power supply: energy at which a battery was last taken for empty.") / 1e6;
    "energy_empty_design" = ("node_power_supply_energy_empty_design", "W.h", "Power supply: energy at which a battery is empty by design.") / 1e6;
    "energy_full" = ("node_power_supply_energy_full", "W.h", "Power supply: energy of a full battery.") / 1e6;
    "energy_full_design" = ("node_power_supply_energy_full_design", "W.h", "Power supply: energy of a full battery by design.") / 1e6;
    "energy_now" = ("node_power_supply_energy_watthour", "W.h", "Power supply: energy of a battery now.") / 1e6;
    "voltage_boot" = ("node_power_supply_voltage_boot", "V", "Power supply: voltage at boot.") / 1e6;
    "voltage_max" = ("node_power_supply_voltage_max", "V", "Power supply: largest voltage.") / 1e6;
    "voltage_max_design" = ("node_power_supply_voltage_max_design", "V", "Power supply: largest voltage by design.") / 1e6;
    "voltage_min" = ("node_power_supply_voltage_min", "V", "Power supply: smallest voltage.") / 1e6;
    "voltage_min_design" = ("node_power_supply_voltage_min_design", "V", "Power supply: smallest voltage by design.") / 1e6;
    "voltage_now" = ("node_power_supply_voltage_volt", "V", "Power supply: voltage now.") / 1e6;
    "voltage_ocv" = ("node_power_supply_voltage_ocv", "V", "Power supply: voltage without load.") / 1e6;
    "charge_control_limit" = ("node_power_supply_charge_control_limit", "A.h", "Power supply: limit that charging is held at.") / 1e6;
    "charge_control_limit_max" = ("node_power_supply_charge_control_limit_max", "A.h", "Power supply: highest limit that charging can be held at.") / 1e6;
    "charge_counter" = ("node_power_supply_charge_counter", "A.h", "Power supply: charge counted so far.") / 1e6;
    "charge_empty" = ("node_power_supply_charge_empty", "A.h", "Power supply: charge at which a battery was last taken for empty.") / 1e6;
    "charge_empty_design" = ("node_power_supply_charge_empty_design", "A.h", "Power supply: charge at which a battery is empty by design.") / 1e6;
    "charge_full" = ("node_power_supply_charge_full", "A.h", "Power supply: charge of a full battery.") / 1e6;
    "charge_full_design" = ("node_power_supply_charge_full_design", "A.h", "Power supply: charge of a full battery by design.") / 1e6;
    "charge_now" = ("node_power_supply_charge_ampere", "A.h", "Power supply: charge of a battery now.") / 1e6;
    "charge_term_current" = ("node_power_supply_charge_term_current", "A", "Power supply: current at which charging ends.") / 1e6;
    "constant_charge_current" = ("node_power_supply_constant_charge_current", "A", "Power supply: current that a battery is charged with.") / 1e6;
    "constant_charge_current_max" = ("node_power_supply_constant_charge_current_max", "A", "Power supply: largest current that a battery can be charged with.") / 1e6;
    "constant_charge_voltage" = ("node_power_supply_constant_charge_voltage", "V", "Power supply: voltage that a battery is charged with.") / 1e6;
    "constant_charge_voltage_max" = ("node_power_supply_constant_charge_voltage_max", "V", "Power supply: largest voltage that a battery can be charged with.") / 1e6;
    "precharge_current" = ("node_power_supply_precharge_current", "A", "Power supply: current that an empty battery is charged with.") / 1e6;
    "input_current_limit" = ("node_power_supply_input_current_limit", "A", "Power supply: limit of the input current.") / 1e6;
    "power_now" = ("node_power_supply_power_watt", "W", "Power supply: power now.") / 1e6;
    "temp" = ("node_power_supply_temp_celsius", "Cel", "Power supply: temperature.") / 10.0;
    "temp_alert_max" = ("node_power_supply_temp_alert_max_celsius", "Cel", "Power supply: temperature above which it warns.") / 10.0;
    "temp_alert_min" = ("node_power_supply_temp_alert_min_celsius", "Cel", "Power supply: temperature below which it warns.") / 10.0;
    "temp_ambient" = ("node_power_supply_temp_ambient_celsius", "Cel", "Power supply: temperature around it.") / 10.0;
    "temp_ambient_max" = ("node_power_supply_temp_ambient_max_celsius", "Cel", "Power supply: largest temperature around it.") / 10.0;
    "temp_ambient_min" = ("node_power_supply_temp_ambient_min_celsius", "Cel", "Power supply: smallest temperature around it.") / 10.0;
    "temp_max" = ("node_power_supply_temp_max_celsius", "Cel", "Power supply: largest temperature.") / 10.0;
    "temp_min" = ("node_power_supply_temp_min_celsius", "Cel", "Power supply: smallest temperature.") / 10.0;
}
