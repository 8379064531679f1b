# One image, one role per container: the role is the command, as in `docker run tuesday-fleet worker --lanes draft`.
# deploy/compose.yaml starts them all. Written where no container engine runs, so this file has never been built;
# what is tested is what it does: the hashed lock (`make`), the wheel (tests/acceptance/test_wheel.py) and the
# commands (tests/acceptance/test_compose.py).

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/fleet
# The dependencies change more rarely than the project, so they are a layer of their own.
COPY requirements.lock /src/
RUN /opt/fleet/bin/pip install --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md beat_schedule.py /src/
COPY contracts /src/contracts
COPY orchestrator /src/orchestrator
COPY workers /src/workers
RUN /opt/fleet/bin/pip install --no-deps --no-build-isolation /src

FROM python:3.11-slim
# A fresh volume takes over the owner of the folder it is mounted on, so the folders are there before it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/fleet --shell /usr/sbin/nologin fleet \
    && install -d -o fleet -g fleet -m 0750 \
        /var/lib/fleet /var/lib/fleet/artifacts /var/lib/fleet/sites /var/lib/fleet/scratch
COPY --from=build /opt/fleet /opt/fleet
ENV PATH=/opt/fleet/bin:$PATH PYTHONUNBUFFERED=1 FLEET_STATE_DIR=/var/lib/fleet
USER fleet
WORKDIR /var/lib/fleet
VOLUME /var/lib/fleet
# No HEALTHCHECK: what is healthy differs by role, and deploy/compose.yaml says it for each.
ENTRYPOINT ["fleet"]
CMD ["--help"]
