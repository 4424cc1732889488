// Cells filled with noise: whatever stands there, nothing is read or written outside, and every call comes back.
#include <random>

#include "conveyor/sync/barrier.hpp"
#include "conveyor/sync/condition.hpp"
#include "conveyor/sync/flag.hpp"
#include "conveyor/sync/mutex.hpp"
#include "conveyor/sync/number.hpp"
#include "conveyor/sync/semaphore.hpp"
#include "state_lab.hpp"

using namespace conveyor;

namespace {

constexpr int rounds = 300;

// Changes some of the cell's bytes, or all, but not its head: that is checked when a handle is made. And no lock's word
// (behind the head, where there is one) may name a living process: that lock would be held, and rightly waited for.
template <class Cell>
void spoil(Cell& cell, std::size_t size, std::mt19937& random) {
  auto* const bytes = reinterpret_cast<unsigned char*>(&cell);
  const std::size_t many = random() % 2 == 0 ? size : random() % 8 + 1;
  for (std::size_t i = 0; i < many; ++i)
    bytes[sizeof(CellHead) + random() % (size - sizeof(CellHead))] = static_cast<unsigned char>(random());
  auto& word = *reinterpret_cast<Atomic<OwnerId>*>(bytes + sizeof(CellHead));
  if (is_alive(word.load(relaxed) & ~OwnerId{1})) word.store(nobody, relaxed);
}

template <class Cell>
void with_noise(CellType type, std::size_t size, const std::function<void(Cell&)>& use) {
  std::mt19937 random(7);
  const Place place = carve(type, size);
  const Place behind = carve(type, size);  // its neighbour stays as it is
  for (int round = 0; round < rounds; ++round) {
    spoil(place.as<Cell>(), size, random);
    use(place.as<Cell>());
  }
  for (std::size_t i = sizeof(CellHead); i < size; ++i)
    REQUIRE(behind.region->data()[behind.offset + i] == std::byte{0});
}

Nanoseconds at_once() { return monotonic_now() + 1000; }

}  // namespace

TEST_CASE("damaged cells harm nobody") {
  with_noise<LockCell>(CellType::lock, sizeof(LockCell), [](LockCell& cell) {
    Mutex mutex(cell);
    mutex.try_harder();
    state::acquired(mutex, at_once());
    mutex.release();
    RecursiveMutex recursive(cell);
    recursive.take(1);
    state::acquired(recursive, 1, at_once());
    recursive.release(1);
  });
  with_noise<SemaphoreCell>(CellType::semaphore, sizeof(SemaphoreCell), [](SemaphoreCell& cell) {
    Semaphore semaphore(cell);
    semaphore.try_acquire();
    state::acquired(semaphore, at_once());
    semaphore.release(3);
    semaphore.value();
  });
  with_noise<EventCell>(CellType::event, sizeof(EventCell), [](EventCell& cell) {
    Flag flag(cell);
    state::waited(flag, at_once());
    flag.set();
    flag.clear();
    state::waited(flag, at_once());
  });
  with_noise<ConditionCell>(CellType::condition, sizeof(ConditionCell), [](ConditionCell& cell) {
    Condition condition(cell);
    const Condition::Waiter waiter = condition.enter();
    condition.notify(3);
    state::waited(condition, waiter, at_once());
    condition.leave(waiter);
    condition.notify(UINT32_MAX);
    condition.waiting();
  });
  const std::size_t size = Barrier::size_for(5);
  with_noise<BarrierCell>(CellType::barrier, size, [](BarrierCell& cell) {
    cell.parties = 5;
    Barrier barrier(cell);
    cell.parties = UINT32_MAX;  // later: the handle knows how many there are
    Barrier::Arrival arrival;
    if (state::met_by(barrier, arrival, at_once()) == Met::last) barrier.open(arrival);
    barrier.waiting();
    barrier.reset();
  });
  with_noise<NumberCell>(CellType::number, sizeof(NumberCell), [](NumberCell& cell) {
    std::int64_t sum = 0;
    Number<std::int64_t> number(cell.bits, cell.changed);
    number.add(1, sum);
    Slices slices;
    cell.changed.sleep(cell.changed.announce(), at_once(), slices);
  });
}
