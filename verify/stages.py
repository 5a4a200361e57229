"""Dependencies between checks, so that one mistake is reported as one failure.

A failing check may follow from a failing check of an earlier stage: if u is wrong, so are the loss
and everything computed from it. Names are shell patterns of checks.
"""

import fnmatch
import functools

from verify.checks import all_checks
from verify.outcome import PAIR, Outcome

# checks: the checks of earlier stages that they build on
EARLIER = """
official_names_round_trip: parameters_round_trip
initial_parameters_follow_their_laws: initial_parameters_are_recorded_ones
modulation_matches: time_embedding_matches interval_embedding_matches label_embedding_matches
attention_matches: patch_and_position_embedding_match modulation_matches
mlp_matches: attention_matches
blocks_match: modulation_matches attention_matches mlp_matches
final_layer_matches: blocks_match
mean_velocity_matches: final_layer_matches parameters_round_trip
embedded_times_match: mean_velocity_matches
rows_are_independent: mean_velocity_matches
jvp_matches_hand_written_tangents: mean_velocity_matches
jvp_matches_complex_step jvp_matches_central_difference zero_tangent_leaves_time_derivative
    rows_without_a_tangent_are_not_changed other_tangents_match: jvp_matches_hand_written_tangents
guidance_with*: mean_velocity_matches
state_and_velocity_match: logit_normal_times_match uniform_times_match first_rows_have_equal_times
    interpolation_matches
tangent_matches: state_and_velocity_match guidance_with* dropout_takes_the_first_rows
    dropped_rows_lose_their_guidance
mean_velocity_and_derivative_match: tangent_matches jvp_matches_hand_written_tangents
whole_target_matches: mean_velocity_and_derivative_match target_matches
per_sample_errors_match: whole_target_matches squared_error_is_a_sum adaptive_weight_matches
velocity_loss_matches: mean_velocity_and_derivative_match squared_error_is_a_sum
loss_matches: per_sample_errors_match
loss_with_random_rows_matches parts_of_a_batch_match: loss_matches random_rows_have_equal_times
gradient_matches_hand_written: per_sample_errors_match
gradient_matches_complex_step gradient_with_random_rows_matches gradients_of_ablations_match
    other_form_of_the_jvp_gives_the_same: gradient_matches_hand_written
tangent_gradient_rises_with_the_steps: compound_gradients_match
compound_losses_match tangent_gradient_leaves_the_loss: loss_matches
compound_gradients_match compound_gradients_match_central_difference: compound_losses_match
    gradient_matches_hand_written
one_step_matches: mean_velocity_matches
two_steps_match uneven_steps_match: one_step_matches
adam_steps_match: gradient_matches_hand_written
moving_average_matches: adam_steps_match
steps_with_every_setting_match: adam_steps_match learning_rate_matches clipped_gradient_matches
    parts_of_a_batch_match
further_averages_match: steps_with_every_setting_match moving_average_matches
logged_metrics_match exported_moments_match steps_compiled_by_the_framework_match:
    steps_with_every_setting_match
bfloat16_*: gradient_matches_hand_written
official_times_match official_state_matches: state_and_velocity_match
official_tangent_matches: tangent_matches official_state_matches
official_mean_velocity_matches official_derivative_matches: mean_velocity_and_derivative_match
official_velocity_loss_matches: velocity_loss_matches
official_loss_matches: loss_matches
official_gradients_match official_gradient_norms_match: gradient_matches_hand_written
official_samples_match: one_step_matches uneven_steps_match
official_parameters_round_trip: parameters_round_trip
official_training_losses_match official_trained_*: official_gradients_match official_loss_matches
    adam_steps_match moving_average_matches
same_mean_velocity: mean_velocity_matches
same_derivative: mean_velocity_and_derivative_match
same_target: whole_target_matches tangent_matches
same_per_sample_errors: per_sample_errors_match velocity_loss_matches
same_loss: loss_matches
same_gradient: gradient_matches_hand_written
same_samples: one_step_matches uneven_steps_match
same_training_trajectory converted_state_goes_on_the_same: steps_with_every_setting_match
"""


@functools.cache
def earlier() -> dict[str, tuple[str, ...]]:
    """Check -> the checks that it builds on directly, patterns expanded."""
    names = list(all_checks())
    found: dict[str, tuple[str, ...]] = {}
    for line in EARLIER.replace("\n    ", " ").strip().splitlines():
        later, before = line.split(": ")
        for name in _matching(names, later):
            found[name] = (*found.get(name, ()), *_matching(names, before))
    return found


def _matching(names: list[str], patterns: str) -> tuple[str, ...]:
    return tuple(
        name for pattern in patterns.split() for name in names if fnmatch.fnmatch(name, pattern)
    )


def causes(failed: list[Outcome]) -> dict[tuple[str, str, str], str]:
    """Cause of each failure that follows from a failure of an earlier stage.

    Returns:
        (check, subject, dtype) -> the check of the earliest stage that failed on the same subject,
        or on one of the pair, in the same dtype.
    """
    at = {(outcome.check, outcome.subject, outcome.dtype) for outcome in failed}

    def first(check: str, subjects: list[str], dtype: str) -> str:
        """Earliest failing check that this one builds on; "" if all of them pass."""
        for before in earlier().get(check, ()):
            deeper = first(before, subjects, dtype)
            if deeper:
                return deeper
            if any((before, subject, dtype) in at for subject in subjects):
                return before
        return ""

    found = {}
    for outcome in failed:
        subjects = outcome.subject.split(PAIR)
        if cause := first(outcome.check, subjects, outcome.dtype):
            found[outcome.check, outcome.subject, outcome.dtype] = cause
    return found
