"""Who runs when: admission, queues by shape, batches, deadlines."""
