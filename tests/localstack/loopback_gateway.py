"""LocalStack's process, on 127.0.0.1 only: its gateway listens everywhere, whatever GATEWAY_LISTEN says.

Run by LocalStack's own Python (3.13), which knows nothing of this project.
"""

import functools

if __name__ == "__main__":
    from twisted.internet import endpoints

    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")

    from localstack.runtime.main import main

    main()
