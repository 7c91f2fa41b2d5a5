from .fifo_lock import FIFOLock

queue_lock: FIFOLock
