//! Sensors of hwmon, by the attributes of the kernel's sysfs interface.
//!
//! A file `temp1_max` is sensor type `temp`, number 1, attribute `max`. Attributes that only change when somebody sets them are not
//! `live`: they are read less often.

use crate::sample::Metric;

metrics! {
    CHIP_NAMES = gauge("node_hwmon_chip_names", "", "The readable name of a chip; always 1.");
    SENSOR_LABEL = gauge("node_hwmon_sensor_label", "", "The label of a sensor; always 1.");
    BEEP_ENABLED = gauge("node_hwmon_beep_enabled", "", "1 if the machine may beep.");
    REGULATOR_VERSION = gauge("node_hwmon_voltage_regulator_version", "", "Version of the voltage regulator, times ten.");
    UPDATE_INTERVAL = gauge("node_hwmon_update_interval_seconds", "s", "How often a chip renews its readings.");
}

/// What one unit of an attribute is of the metric's unit.
#[derive(Debug, Clone, Copy)]
pub(in crate::collectors::host) enum Scale {
    One,
    Milli,
    Micro,
}

/// An attribute of a sensor.
#[derive(Debug)]
pub(in crate::collectors::host) struct Sensor {
    pub(in crate::collectors::host) kind: &'static str,
    pub(in crate::collectors::host) attribute: &'static str,
    pub(in crate::collectors::host) metric: Metric,
    pub(in crate::collectors::host) scale: Scale,
    pub(in crate::collectors::host) live: bool,
}

macro_rules! sensors {
    ($($type:literal $attribute:literal $live:literal = $kind:ident($metric:literal, $unit:literal, $help:literal) * $scale:ident;)*) => {
        pub(in crate::collectors::host) static SENSORS: &[Sensor] = &[$(Sensor {
            kind: $type,
            attribute: $attribute,
            metric: Metric::$kind($metric, $unit, $help),
            scale: Scale::$scale,
            live: $live,
        }),*];
    };
}

sensors! {
    "temp" "input" true = gauge("node_hwmon_temp_celsius", "Cel", "Temperature: reading.") * Milli;
    "temp" "min" false = gauge("node_hwmon_temp_min_celsius", "Cel", "Temperature: lower limit.") * Milli;
    "temp" "max" false = gauge("node_hwmon_temp_max_celsius", "Cel", "Temperature: upper limit.") * Milli;
    "temp" "crit" false = gauge("node_hwmon_temp_crit_celsius", "Cel", "Temperature: upper critical limit.") * Milli;
    "temp" "lcrit" false = gauge("node_hwmon_temp_lcrit_celsius", "Cel", "Temperature: lower critical limit.") * Milli;
    "temp" "max_hyst" false = gauge("node_hwmon_temp_max_hyst_celsius", "Cel", "Temperature: value at which the upper limit is left.") * Milli;
    "temp" "min_hyst" false = gauge("node_hwmon_temp_min_hyst_celsius", "Cel", "Temperature: value at which the lower limit is left.") * Milli;
    "temp" "crit_hyst" false = gauge("node_hwmon_temp_crit_hyst_celsius", "Cel", "Temperature: value at which the upper critical limit is left.") * Milli;
    "temp" "lcrit_hyst" false = gauge("node_hwmon_temp_lcrit_hyst_celsius", "Cel", "Temperature: value at which the lower critical limit is left.") * Milli;
    "temp" "emergency" false = gauge("node_hwmon_temp_emergency_celsius", "Cel", "Temperature: upper emergency limit.") * Milli;
    "temp" "emergency_hyst" false = gauge("node_hwmon_temp_emergency_hyst_celsius", "Cel", "Temperature: value at which the upper emergency limit is left.") * Milli;
    "temp" "lowest" true = gauge("node_hwmon_temp_lowest_celsius", "Cel", "Temperature: lowest reading so far.") * Milli;
    "temp" "highest" true = gauge("node_hwmon_temp_highest_celsius", "Cel", "Temperature: highest reading so far.") * Milli;
    "temp" "offset" false = gauge("node_hwmon_temp_offset_celsius", "Cel", "Temperature: correction added to the reading.") * Milli;
    "temp" "rated_min" false = gauge("node_hwmon_temp_rated_min_celsius", "Cel", "Temperature: lowest value that the hardware is rated for.") * Milli;
    "temp" "rated_max" false = gauge("node_hwmon_temp_rated_max_celsius", "Cel", "Temperature: highest value that the hardware is rated for.") * Milli;
    "temp" "type" false = gauge("node_hwmon_temp_type", "", "Kind of a temperature sensor, as hwmon numbers them.") * One;
    "temp" "alarm" true = gauge("node_hwmon_temp_alarm", "", "1 if a temperature is outside its limits.") * One;
    "temp" "min_alarm" true = gauge("node_hwmon_temp_min_alarm_celsius", "", "Above 0 if a temperature is beyond its limit 'min'.") * Milli;
    "temp" "max_alarm" true = gauge("node_hwmon_temp_max_alarm_celsius", "", "Above 0 if a temperature is beyond its limit 'max'.") * Milli;
    "temp" "crit_alarm" true = gauge("node_hwmon_temp_crit_alarm_celsius", "", "Above 0 if a temperature is beyond its limit 'crit'.") * Milli;
    "temp" "lcrit_alarm" true = gauge("node_hwmon_temp_lcrit_alarm_celsius", "", "Above 0 if a temperature is beyond its limit 'lcrit'.") * Milli;
    "temp" "emergency_alarm" true = gauge("node_hwmon_temp_emergency_alarm_celsius", "", "Above 0 if a temperature is beyond its limit 'emergency'.") * Milli;
    "temp" "fault" true = gauge("node_hwmon_temp_fault", "", "1 if a temperature cannot be read.") * One;
    "temp" "beep" false = gauge("node_hwmon_temp_beep_enabled", "", "1 if the machine beeps for a temperature.") * One;
    "in" "input" true = gauge("node_hwmon_in_volts", "V", "Voltage: reading.") * Milli;
    "in" "min" false = gauge("node_hwmon_in_min_volts", "V", "Voltage: lower limit.") * Milli;
    "in" "max" false = gauge("node_hwmon_in_max_volts", "V", "Voltage: upper limit.") * Milli;
    "in" "crit" false = gauge("node_hwmon_in_crit_volts", "V", "Voltage: upper critical limit.") * Milli;
    "in" "lcrit" false = gauge("node_hwmon_in_lcrit_volts", "V", "Voltage: lower critical limit.") * Milli;
    "in" "average" true = gauge("node_hwmon_in_average_volts", "V", "Voltage: average.") * Milli;
    "in" "lowest" true = gauge("node_hwmon_in_lowest_volts", "V", "Voltage: lowest reading so far.") * Milli;
    "in" "highest" true = gauge("node_hwmon_in_highest_volts", "V", "Voltage: highest reading so far.") * Milli;
    "in" "rated_min" false = gauge("node_hwmon_in_rated_min_volts", "V", "Voltage: lowest value that the hardware is rated for.") * Milli;
    "in" "rated_max" false = gauge("node_hwmon_in_rated_max_volts", "V", "Voltage: highest value that the hardware is rated for.") * Milli;
    "in" "alarm" true = gauge("node_hwmon_in_alarm", "", "1 if a voltage is outside its limits.") * One;
    "in" "min_alarm" true = gauge("node_hwmon_in_min_alarm_volts", "", "Above 0 if a voltage is beyond its limit 'min'.") * Milli;
    "in" "max_alarm" true = gauge("node_hwmon_in_max_alarm_volts", "", "Above 0 if a voltage is beyond its limit 'max'.") * Milli;
    "in" "crit_alarm" true = gauge("node_hwmon_in_crit_alarm_volts", "", "Above 0 if a voltage is beyond its limit 'crit'.") * Milli;
    "in" "lcrit_alarm" true = gauge("node_hwmon_in_lcrit_alarm_volts", "", "Above 0 if a voltage is beyond its limit 'lcrit'.") * Milli;
    "in" "fault" true = gauge("node_hwmon_in_fault", "", "1 if a voltage cannot be read.") * One;
    "in" "beep" false = gauge("node_hwmon_in_beep_enabled", "", "1 if the machine beeps for a voltage.") * One;
    "curr" "input" true = gauge("node_hwmon_curr_amps", "A", "Current: reading.") * Milli;
    "curr" "min" false = gauge("node_hwmon_curr_min_amps", "A", "Current: lower limit.") * Milli;
    "curr" "max" false = gauge("node_hwmon_curr_max_amps", "A", "Current: upper limit.") * Milli;
    "curr" "crit" false = gauge("node_hwmon_curr_crit_amps", "A", "Current: upper critical limit.") * Milli;
    "curr" "lcrit" false = gauge("node_hwmon_curr_lcrit_amps", "A", "Current: lower critical limit.") * Milli;
    "curr" "average" true = gauge("node_hwmon_curr_average_amps", "A", "Current: average.") * Milli;
    "curr" "lowest" true = gauge("node_hwmon_curr_lowest_amps", "A", "Current: lowest reading so far.") * Milli;
    "curr" "highest" true = gauge("node_hwmon_curr_highest_amps", "A", "Current: highest reading so far.") * Milli;
    "curr" "rated_min" false = gauge("node_hwmon_curr_rated_min_amps", "A", "Current: lowest value that the hardware is rated for.") * Milli;
    "curr" "rated_max" false = gauge("node_hwmon_curr_rated_max_amps", "A", "Current: highest value that the hardware is rated for.") * Milli;
    "curr" "alarm" true = gauge("node_hwmon_curr_alarm", "", "1 if a current is outside its limits.") * One;
    "curr" "min_alarm" true = gauge("node_hwmon_curr_min_alarm_amps", "", "Above 0 if a current is beyond its limit 'min'.") * Milli;
    "curr" "max_alarm" true = gauge("node_hwmon_curr_max_alarm_amps", "", "Above 0 if a current is beyond its limit 'max'.") * Milli;
    "curr" "crit_alarm" true = gauge("node_hwmon_curr_crit_alarm_amps", "", "Above 0 if a current is beyond its limit 'crit'.") * Milli;
    "curr" "lcrit_alarm" true = gauge("node_hwmon_curr_lcrit_alarm_amps", "", "Above 0 if a current is beyond its limit 'lcrit'.") * Milli;
    "curr" "beep" false = gauge("node_hwmon_curr_beep_enabled", "", "1 if the machine beeps for a current.") * One;
    "fan" "input" true = gauge("node_hwmon_fan_rpm", "1/min", "Fan speed: reading.") * One;
    "fan" "min" false = gauge("node_hwmon_fan_min_rpm", "1/min", "Fan speed: lower limit.") * One;
    "fan" "max" false = gauge("node_hwmon_fan_max_rpm", "1/min", "Fan speed: upper limit.") * One;
    "fan" "target" false = gauge("node_hwmon_fan_target_rpm", "1/min", "Fan speed: value that is aimed at.") * One;
    "fan" "div" false = gauge("node_hwmon_fan_div", "", "Divisor of a fan's speed.") * One;
    "fan" "pulses" false = gauge("node_hwmon_fan_pulses", "", "Pulses that a fan gives per turn.") * One;
    "fan" "alarm" true = gauge("node_hwmon_fan_alarm", "", "1 if a fan's speed is outside its limits.") * One;
    "fan" "min_alarm" true = gauge("node_hwmon_fan_min_alarm", "", "Above 0 if a fan's speed is beyond its limit 'min'.") * One;
    "fan" "max_alarm" true = gauge("node_hwmon_fan_max_alarm", "", "Above 0 if a fan's speed is beyond its limit 'max'.") * One;
    "fan" "fault" true = gauge("node_hwmon_fan_fault", "", "1 if a fan's speed cannot be read.") * One;
    "fan" "beep" false = gauge("node_hwmon_fan_beep_enabled", "", "1 if the machine beeps for a fan's speed.") * One;
    "power" "input" true = gauge("node_hwmon_power_watt", "W", "Power: reading.") * Micro;
    "power" "average" true = gauge("node_hwmon_power_average_watt", "W", "Power: average.") * Micro;
    "power" "average_highest" true = gauge("node_hwmon_power_average_highest_watt", "W", "Power: highest average so far.") * Micro;
    "power" "average_lowest" true = gauge("node_hwmon_power_average_lowest_watt", "W", "Power: lowest average so far.") * Micro;
    "power" "average_max" false = gauge("node_hwmon_power_average_max_watt", "W", "Power: upper limit of the average.") * Micro;
    "power" "average_min" false = gauge("node_hwmon_power_average_min_watt", "W", "Power: lower limit of the average.") * Micro;
    "power" "input_highest" true = gauge("node_hwmon_power_input_highest_watt", "W", "Power: highest reading so far.") * Micro;
    "power" "input_lowest" true = gauge("node_hwmon_power_input_lowest_watt", "W", "Power: lowest reading so far.") * Micro;
    "power" "cap" true = gauge("node_hwmon_power_cap_watt", "W", "Power: limit that the power is held at.") * Micro;
    "power" "cap_hyst" false = gauge("node_hwmon_power_cap_hyst_watt", "W", "Power: margin below the limit that the power is held at.") * Micro;
    "power" "cap_max" false = gauge("node_hwmon_power_cap_max_watt", "W", "Power: highest limit that can be set.") * Micro;
    "power" "cap_min" false = gauge("node_hwmon_power_cap_min_watt", "W", "Power: lowest limit that can be set.") * Micro;
    "power" "min" false = gauge("node_hwmon_power_min_watt", "W", "Power: lower limit.") * Micro;
    "power" "max" false = gauge("node_hwmon_power_max_watt", "W", "Power: upper limit.") * Micro;
    "power" "crit" false = gauge("node_hwmon_power_crit_watt", "W", "Power: upper critical limit.") * Micro;
    "power" "lcrit" false = gauge("node_hwmon_power_lcrit_watt", "W", "Power: lower critical limit.") * Micro;
    "power" "rated_min" false = gauge("node_hwmon_power_rated_min_watt", "W", "Power: lowest value that the hardware is rated for.") * Micro;
    "power" "rated_max" false = gauge("node_hwmon_power_rated_max_watt", "W", "Power: highest value that the hardware is rated for.") * Micro;
    "power" "average_interval" false = gauge("node_hwmon_power_average_interval_seconds", "s", "Power: time that is averaged over.") * Milli;
    "power" "average_interval_max" false = gauge("node_hwmon_power_average_interval_max_seconds", "s", "Power: longest time that can be averaged over.") * Milli;
    "power" "average_interval_min" false = gauge("node_hwmon_power_average_interval_min_seconds", "s", "Power: shortest time that can be averaged over.") * Milli;
    "power" "accuracy" false = gauge("node_hwmon_power_accuracy", "1", "Accuracy of a power meter, as a ratio.") * Micro;
    "power" "alarm" true = gauge("node_hwmon_power_alarm", "", "1 if power is outside its limits.") * One;
    "power" "cap_alarm" true = gauge("node_hwmon_power_cap_alarm_watt", "", "Above 0 if power is beyond its limit 'cap'.") * Micro;
    "power" "min_alarm" true = gauge("node_hwmon_power_min_alarm_watt", "", "Above 0 if power is beyond its limit 'min'.") * Micro;
    "power" "max_alarm" true = gauge("node_hwmon_power_max_alarm_watt", "", "Above 0 if power is beyond its limit 'max'.") * Micro;
    "power" "crit_alarm" true = gauge("node_hwmon_power_crit_alarm_watt", "", "Above 0 if power is beyond its limit 'crit'.") * Micro;
    "power" "lcrit_alarm" true = gauge("node_hwmon_power_lcrit_alarm_watt", "", "Above 0 if power is beyond its limit 'lcrit'.") * Micro;
    "energy" "input" true = counter("node_hwmon_energy_joule_total", "J", "Energy used so far.") * Micro;
    "humidity" "input" true = gauge("node_hwmon_humidity", "1", "Relative humidity, as a ratio.") * Micro;
    "pwm" "" true = gauge("node_hwmon_pwm", "1", "How hard a fan is driven, 0 to 255.") * One;
    "pwm" "enable" false = gauge("node_hwmon_pwm_enable", "", "How a fan is driven: by hand or by which automatic.") * One;
    "pwm" "mode" false = gauge("node_hwmon_pwm_mode", "", "1 if a fan is driven by pulses, 0 if by voltage.") * One;
    "pwm" "freq" false = gauge("node_hwmon_pwm_freq", "Hz", "Frequency of the pulses that drive a fan.") * One;
    "cpu" "vid" false = gauge("node_hwmon_cpu_vid_volts", "V", "Voltage that a CPU asks for.") * Milli;
    "intrusion" "alarm" true = gauge("node_hwmon_intrusion_alarm", "", "1 if the chassis is outside its limits.") * One;
    "intrusion" "beep" false = gauge("node_hwmon_intrusion_beep_enabled", "", "1 if the machine beeps for the chassis.") * One;
}
