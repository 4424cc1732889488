"""`queue.Queue`'s tests, which are stricter than multiprocessing's, for JoinableQueue."""

import multiprocessing
import multiprocessing.queues
import queue
import unittest

import test.test_queue as _suite


class Queue(multiprocessing.queues.JoinableQueue):
    """Named as the suite wants it, and with the attribute that it reads."""

    def __init__(self, maxsize=0):
        super().__init__(maxsize, ctx=multiprocessing.get_context())
        self.maxsize = maxsize


class JoinableQueueTest(_suite.BaseQueueTestMixin, unittest.TestCase):
    type2test = Queue
    queue = queue


if not hasattr(Queue, "shutdown"):
    for _name in [name for name in dir(JoinableQueueTest) if name.startswith("test_") and "shutdown" in name]:
        setattr(JoinableQueueTest, _name, None)
