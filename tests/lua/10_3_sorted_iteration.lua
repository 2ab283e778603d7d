local function order(...)
  local keys = {}
  for key in ... do keys[#keys + 1] = key end
  return keys
end
local t = { b = 1, a = 3, c = 2 }
eq(order(pairsByKeys(t)), { "a", "b", "c" })
eq(order(pairsByKeys(t, rev)), { "c", "b", "a" })
eq(order(pairsByKeys({ [2] = 1, [10] = 1, x = 1 })), { 2, 10, "x" })
eq(order(pairsByValues(t, asc)), { "b", "c", "a" })
eq(order(pairsByValues(t, rev)), { "a", "c", "b" })
eq(order(pairsByValues({ x = 1, a = 1, m = 1 }, asc)), { "a", "m", "x" })
eq(order(pairsByField({ x = { n = 2 }, y = { n = 1 } }, "n", asc)), { "y", "x" })
eq({ asc(1, 2), rev(1, 2), asc_insensitive("a", "B"), rev_insensitive("a", "B") }, { true, false, true, false })
