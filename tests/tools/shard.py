"""Runs the engine of ClickHouse as a server of its own, one shard of two, until it is killed.

Usage: shard.py LIBRARY FOLDER HTTP_PORT TCP_PORT,TCP_PORT USER PASSWORD   (of the two the first is its own)
"""

import ctypes
import os
import pathlib
import sys

library, folder, http_port, tcp_ports, user, password = sys.argv[1:]
folder = pathlib.Path(folder)
(folder / "tmp").mkdir(parents=True)
own, _ = tcp_ports.split(",")


def shard(port):
    replica = f"<replica><host>127.0.0.1</host><port>{port}</port><user>{user}</user><password>{password}</password></replica>"
    return f"<shard><internal_replication>true</internal_replication>{replica}</shard>"


# In one order on both, whosever port it is.
shards = "".join(shard(port) for port in sorted(tcp_ports.split(",")))
networks = "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>"
(folder / "users.xml").write_text(
    f"""<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>
<default><password/>{networks}</default>
<{user}><password>{password}</password>{networks}</{user}></users></clickhouse>"""
)
(folder / "config.xml").write_text(
    f"""<clickhouse><logger><level>error</level><console>1</console></logger>
<path>{folder}/</path><tmp_path>{folder}/tmp/</tmp_path><users_config>{folder}/users.xml</users_config>
<listen_host>127.0.0.1</listen_host><http_port>{http_port}</http_port><tcp_port>{own}</tcp_port>
<background_schedule_pool_size>16</background_schedule_pool_size>
<remote_servers><shards>{shards}</shards></remote_servers></clickhouse>"""
)
# It ends with the test that started it, however that ends.
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() == 1:
    sys.exit("the test is gone")
engine = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL | os.RTLD_NOW)
forever = "SELECT sleepEachRow(1) FROM system.numbers SETTINGS max_block_size=1 FORMAT Null"
arguments = [
    "clickhouse",
    f"--config-file={folder}/config.xml",
    f"--query=SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; {forever}",
]
texts = (ctypes.c_char_p * (len(arguments) + 1))(*[a.encode() for a in arguments], None)
engine.query_stable_v2(len(arguments), texts)
