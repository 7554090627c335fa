import signal
import threading

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.progress import SILENT
from edgekit.run.checkpoint import Checkpoint
from edgekit.run.train import Course, Learned, Patience, _batches, train
from edgekit.samples import load_samples

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (50, 3)).astype(np.float32)
TRUTH = np.array([[2.0], [-1.0], [0.5]], np.float32)
Y = X @ TRUTH
COURSE = Course(epochs=6, batch=8, lr=0.1)


class Line:
    """y = x w, learned from the targets; `at` is called before every step."""

    def __init__(self, at=lambda _: None, start=0.0):
        self.w = torch.full((3, 1), start, requires_grad=True)
        self.idle = torch.ones(2, requires_grad=True)
        self.at, self.shares, self.seen = at, [], []

    @property
    def learned(self):
        return {"w": Learned(self.w, 1.0), "idle": Learned(self.idle, 1.0)}

    def loss(self, batch):
        self.seen += batch.ids
        x, y = torch.from_numpy(batch.inputs["x"]), torch.from_numpy(batch.targets["y"])
        return (x @ self.w - y).square().mean()

    def settle(self, share):
        self.shares.append(share)
        self.at(len(self.shares) - 1)


def samples(order=slice(None)):
    return load_samples(({"x": X[order]}, {"y": Y[order]}))


def trained(course=COURSE, given=None, line=None, kept=None):
    line = line or Line()
    return line, train(line, given or samples(), course, SILENT, kept)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_line_is_learned(optimizer) -> None:
    line, history = trained(Course(epochs=60, batch=8, lr=0.1, optimizer=optimizer))
    np.testing.assert_allclose(line.w.detach().numpy(), TRUTH, atol=1e-3)
    assert (history.steps, history.samples, len(history.losses)) == (360, 50, 60)
    assert history.losses[-1] < 1e-3 * history.losses[0]
    np.testing.assert_array_equal(line.idle.detach().numpy(), [1, 1])
    assert line.shares[0] == 0.0 and line.shares[-1] == 1.0 and line.shares == sorted(line.shares)


def test_the_order_of_the_samples_changes_no_bit() -> None:
    one, other = trained()[0], trained(given=samples(RNG.permutation(50)))[0]
    assert torch.equal(one.w, other.w)
    assert not torch.equal(one.w, trained(Course(epochs=6, batch=8, lr=0.1, seed=1))[0].w)


def test_the_number_of_threads_changes_no_bit() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        line, _ = trained()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert torch.equal(line.w, trained()[0].w)


def test_every_sample_has_its_turn_in_an_epoch() -> None:
    course = Course(epochs=2, batch=10, lr=0.1)
    line, _ = trained(course)
    first, second = line.seen[:50], line.seen[50:]
    assert len(set(first)) == 50
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_batch_is_no_larger_than_all_there_is() -> None:
    assert Course(epochs=1, batch=64, lr=0.1).fitting(50).batch == 50


def test_a_step_is_in_the_units_of_its_tensor() -> None:
    """Inputs a hundred times as large want weights of a hundredth, and get there in the same steps."""

    class Small(Line):
        @property
        def learned(self):
            return {"w": Learned(self.w, 0.01)}

        def loss(self, batch):
            x, y = 100 * torch.from_numpy(batch.inputs["x"]), torch.from_numpy(batch.targets["y"])
            return (x @ self.w - y).square().mean()

    for optimizer in ("adamw", "sgd"):
        course = Course(epochs=6, batch=8, lr=0.05, optimizer=optimizer)
        plain, small = trained(course)[0], trained(course, line=Small())[0]
        torch.testing.assert_close(100 * small.w, plain.w, rtol=1e-3, atol=1e-4)


def test_each_epoch_is_told_of() -> None:
    told = []

    class Watching:
        def step(self, title, total=None):
            told.append((title, total))
            return SILENT.step(title, total)

        def note(self, text):
            told.append(text)

    _, history = trained(Course(epochs=2, batch=8, lr=0.1))
    train(Line(), samples(), Course(epochs=2, batch=8, lr=0.1), Watching())
    first, second = (f"epoch {i + 1} of 2: loss {loss:.4g}" for i, loss in enumerate(history.losses))
    assert told == [("training", 96), first, second]


def test_no_number_ends_it(tmp_path) -> None:
    kept = Checkpoint(tmp_path / "net.training", "one", resume=False)
    with pytest.raises(EdgekitError) as refused:
        trained(line=Line(start=1e30), kept=kept)
    assert refused.value.code == "EK921"
    assert "step 1 of 36" in refused.value.why
    assert "--lr" in refused.value.fix
    assert not kept.path.exists()


# ---- being stopped ---------------------------------------------------------------------------------------------------


def stopping(step, number=signal.SIGINT):
    return Line(lambda now: signal.raise_signal(number) if now == step else None)


@pytest.mark.parametrize("step", [0, 5, 6, 20, 34])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resumed_it_ends_as_if_it_had_never_been_stopped(tmp_path, step, optimizer) -> None:
    course = Course(epochs=6, batch=8, lr=0.1, optimizer=optimizer)
    path = tmp_path / "net.training"
    with pytest.raises(KeyboardInterrupt) as stopped:
        trained(course, line=stopping(step), kept=Checkpoint(path, "one", resume=False))
    assert stopped.value.__notes__ == [f"training stopped at step {step + 1} of 36; --resume goes on"]
    resumed, history = trained(course, kept=Checkpoint(path, "one", resume=True))
    whole, expected = trained(course)
    assert torch.equal(resumed.w, whole.w)
    assert history == expected
    assert resumed.shares == whole.shares[step + 1 :]


def test_a_handler_of_sigterm_has_its_say(tmp_path) -> None:
    class Terminated(KeyboardInterrupt):
        pass

    def handler(*_):
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Terminated):
            trained(line=stopping(3, signal.SIGTERM), kept=Checkpoint(tmp_path / "a", "one", resume=False))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_goes_on_still_ends_the_training() -> None:
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(line=stopping(3))
    finally:
        signal.signal(signal.SIGINT, before)


def test_beside_the_main_thread_nothing_is_asked_of_signals() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(trained()[0].w))
    thread.start()
    thread.join()
    assert torch.equal(found[0], trained()[0].w)


def test_after_the_end_only_the_end_is_left(tmp_path) -> None:
    path = tmp_path / "net.training"
    line, history = trained(kept=Checkpoint(path, "one", resume=False))
    again, same = trained(kept=Checkpoint(path, "one", resume=True))
    assert torch.equal(line.w, again.w)
    assert same == history
    assert again.shares == [1.0]


def test_images_are_changed_alike_however_often_a_training_is_interrupted() -> None:
    images = load_samples((RNG.normal(0, 1, (20, 1, 8, 8)).astype(np.float32), np.zeros(20, np.int64)))
    course = Course(epochs=2, batch=6, lr=0.1, augment=("flip", "shift"))
    whole, rest = (list(_batches(images, course, done)) for done in (0, 4))
    assert len(whole) == 6
    for one, other in zip(whole[4:], rest, strict=True):
        assert one.ids == other.ids
        np.testing.assert_array_equal(one.inputs["inputs"], other.inputs["inputs"])
    plain = list(_batches(images, Course(epochs=2, batch=6, lr=0.1), 0))
    assert not np.array_equal(plain[0].inputs["inputs"], whole[0].inputs["inputs"])


def test_what_is_no_image_is_not_changed_like_one() -> None:
    with pytest.raises(EdgekitError) as refused:
        trained(Course(epochs=1, batch=8, lr=0.1, augment=("flip",)))
    assert refused.value.code == "EK925"


def impatient(losses, line=None, kept=None, epochs=2, course=COURSE):
    """losses: what each epoch is judged to be worth."""
    told = iter(losses)
    line = line or Line()
    return line, train(line, samples(), course, SILENT, kept, Patience(epochs, lambda: next(told)))


def test_training_ends_where_it_gets_no_better_and_the_best_epoch_is_kept() -> None:
    line, history = impatient([5.0, 3.0, 4.0, 3.0])
    assert (history.best, len(history.losses), history.steps) == (2, 4, 24)
    assert torch.equal(line.w, stopped_before(12))
    assert line.shares[-1] == 1.0


def stopped_before(step):
    """The weights as they were before that step of the whole course."""
    seen = {}
    line = Line()
    line.at = lambda at: seen.setdefault(at, line.w.detach().clone())
    trained(line=line)
    return seen[step]


def test_patience_that_is_never_lost_changes_the_last_epoch_for_the_best_alone() -> None:
    line, history = impatient([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    assert (history.best, history.steps) == (6, 36)
    assert torch.equal(line.w, trained()[0].w)
    line, history = impatient([6.0, 5.0, 4.0, 3.0, 2.0, float("nan")])
    assert (history.best, history.steps) == (5, 36)
    assert torch.equal(line.w, stopped_before(30))


@pytest.mark.parametrize("step", [3, 14, 20])
def test_an_interrupted_training_is_as_impatient_as_before(tmp_path, step) -> None:
    losses = [5.0, 3.0, 4.0, 3.5, 1.0]
    whole, history = impatient(losses)
    path = tmp_path / "line.training"

    def stopping(at):
        if at == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        impatient(losses, Line(stopping), Checkpoint(path, "line", False))
    judged = torch.load(path, weights_only=True)["state"]["losses"]
    rest, again = impatient(losses[len(judged) :], kept=Checkpoint(path, "line", True))
    assert torch.equal(rest.w, whole.w)
    assert (again.best, again.losses) == (history.best, history.losses)
    over, once_more = impatient([], kept=Checkpoint(path, "line", True))  # what is over takes no step
    assert torch.equal(over.w, whole.w)
    assert (once_more.best, once_more.steps) == (2, 24)
