//! One boot, and everything that is promised of the service, one stage after the other.

use super::machine::Machine;
use super::stages;

#[test]
fn the_service_in_a_machine_that_boots() {
    let machine = Machine::boot();
    stages::install::into_a_fresh_system(&machine);
    stages::sandbox::is_on(&machine);
    stages::sandbox::the_units_are_sound(&machine);
    stages::serving::is_scraped(&machine);
    stages::serving::a_restart_refuses_nobody(&machine);
    stages::serving::a_reload_drops_nothing(&machine);
    stages::failing::the_watchdog_ends_what_hangs(&machine);
    stages::serving::a_stop_under_load_loses_nothing(&machine);
    stages::secrets::come_as_credentials(&machine);
    stages::secrets::the_password_of_redis_is_one(&machine);
    stages::failing::a_wrong_configuration_is_not_tried_again(&machine);
    stages::failing::a_damaged_journal_is_not_tried_again(&machine);
    stages::install::follows_the_configuration(&machine);
    stages::install::is_taken_back(&machine);
}

/// The firewall's units, from one boot to the next.
#[test]
fn the_firewall_in_a_machine_that_boots() {
    let mut machine = Machine::boot();
    stages::firewall::is_switched_on(&machine);
    stages::firewall::is_told_as_metrics(&machine);
    stages::leases::open_ports(&machine);
    stages::firewall::is_there_before_the_network(&mut machine);
    stages::firewall::follows_ssh(&mut machine);
    stages::confirm::is_undone_by_the_service_manager(&machine);
    stages::confirm::keeps_what_was_confirmed(&mut machine);
    stages::confirm::a_power_cut_brings_back_what_was_confirmed(&mut machine);
    stages::firewall::a_wrong_configuration_leaves_rules(&mut machine);
    stages::firewall::stays_when_stopped_and_goes_when_removed(&machine);
}

/// A systemd that knows more: the drop-in for it, and the same units. Another system must be made for it.
#[test]
#[ignore = "makes a second system, for minutes: a part of tests/run --long"]
fn the_units_on_a_newer_systemd() {
    let machine = Machine::boot_suite("trixie");
    stages::newer::the_drop_in_holds(&machine);
    stages::newer::a_reload_waits_for_its_end(&machine);
    stages::sandbox::is_on(&machine);
    stages::sandbox::the_units_are_sound(&machine);
    stages::firewall::is_switched_on(&machine);
}
