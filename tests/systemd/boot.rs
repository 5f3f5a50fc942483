//! One boot, and everything that is promised of the service, one stage after the other.

use crate::machine::Machine;
use crate::stages;

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
    stages::failing::a_wrong_configuration_is_not_tried_again(&machine);
    stages::failing::a_damaged_journal_is_not_tried_again(&machine);
    stages::install::follows_the_configuration(&machine);
    stages::install::is_taken_back(&machine);
}
