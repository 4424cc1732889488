"""A producer and a consumer in two processes, joined by a queue.

Plain multiprocessing code. The one line that makes it conveyor's is the import: with
`import multiprocessing` in its place the program runs as well, only on the slower queue.
`conveyor demo` runs this very file.
"""

from __future__ import annotations

import random
import time

import conveyor.multiprocessing as multiprocessing


def producer(queue: multiprocessing.Queue[int | None], pause: float = 1.0, seed: int | None = None) -> None:
    """Put five random numbers from 1 to 100, with random pauses up to `pause` seconds; then the end."""
    generator = random.Random(seed)
    for _ in range(5):
        number = generator.randint(1, 100)
        time.sleep(generator.uniform(0, pause))
        # Said before it is done: the consumer is so quick that its line would often come first.
        print(f"Producer: Put {number} into the queue.", flush=True)
        queue.put(number)
    queue.put(None)


def consumer(queue: multiprocessing.Queue[int | None]) -> None:
    """Get numbers until the end."""
    while True:
        number = queue.get()
        if number is None:
            print("Consumer: Received termination signal.", flush=True)
            break
        print(f"Consumer: Got {number} from the queue.", flush=True)


def main(pause: float = 1.0, seed: int | None = None) -> None:
    """Run both, and wait for them."""
    queue: multiprocessing.Queue[int | None] = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=producer, args=(queue, pause, seed)),
        multiprocessing.Process(target=consumer, args=(queue,)),
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print("Done!")


if __name__ == "__main__":
    main()
