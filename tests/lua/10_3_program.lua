eq(dirs.installdir, ntop.getDirs().installdir)
eq({ getInterfaceName(0), getInterfaceName("-1"), getInterfaceName(9) }, { "br-lan", "__system__", "" })
eq({ getInterfaceId("br-lan"), getInterfaceId("__system__"), getInterfaceId("x") }, { 0, -1, -1 })
eq({ getSystemInterfaceId(), getSystemInterfaceName() }, { "-1", "__system__" })
assert(getDeviceProtocolPoliciesUrl("device_type=1"):find("device_type=1", 1, true))
assert(getFirstSeenDevicesHashKey(0) ~= getFirstSeenDevicesHashKey(1))
eq({ areAlertsEnabled(), areSystemTimeseriesEnabled(), hasHighResolutionTs(), isAdministrator() },
  { true, false, false, false })
ntop.setPref("ntopng.prefs.disable_alerts_generation", "1")
eq(areAlertsEnabled(), false)
eq({ TRACE_ERROR, TRACE_WARNING, TRACE_NORMAL, TRACE_INFO, TRACE_DEBUG, TRACE_CONSOLE, TRACE_WEB },
  { 0, 1, 2, 3, 4, 0, 1 })
traceError(TRACE_ERROR, TRACE_CONSOLE, "a line\nwith two")
traceError(TRACE_DEBUG, TRACE_CONSOLE, nil)
