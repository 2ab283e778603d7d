tprint("From China")
eq(test.output(), " string From China\n")
tprint(5)
eq(test.output(), " number 5\n")
tprint(nil)
eq(test.output(), " nil nil\n")
tprint({ a = 1 })
eq(test.output(), " table\na number 1\n")
tprint({ b = { c = true, d = {} }, [1] = "x" })
eq(test.output(), " table\n1 string x\nb table\nb.c boolean true\nb.d table\n")
-- A table within itself ends, and so does a deep one.
local cycle = {}
cycle.me = cycle
tprint(cycle)
eq(test.output(), " table\nme table\n")
local deep = {}
for _ = 1, 1000 do deep = { deep } end
tprint(deep)
assert(#test.output() < 2000)
