;; Imports nothing at all: a raw plugin that answers with nothing.
(module
  (memory (export "memory") 1)
  (func (export "handle") (result i32) (i32.const 0)))
